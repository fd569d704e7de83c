#!/bin/sh
# What the tests need besides Python: MariaDB. Installed where that can be done, else said in one line.
PATH="$PATH:/usr/sbin:/usr/local/sbin"
command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mariadb-server >/dev/null && exit 0
fi
echo "the tests need MariaDB 10.6 or newer: apt-get install mariadb-server" >&2
exit 1
