#!/bin/sh
# What the benchmark needs besides Python: wrk, nginx, MariaDB, a C compiler. Installed where that can be done, else said.
PATH="$PATH:/usr/sbin:/usr/local/sbin"
missing=""
command -v wrk >/dev/null || missing="$missing wrk"
command -v nginx >/dev/null || missing="$missing nginx-light"
command -v mariadbd >/dev/null || missing="$missing mariadb-server"
command -v cc >/dev/null || missing="$missing gcc libc6-dev"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  # shellcheck disable=SC2086 - a list of names
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null && exit 0
fi
echo "the benchmark needs: apt-get install$missing" >&2
exit 1
