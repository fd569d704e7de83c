#!/bin/sh
# What the tests need besides Python: MariaDB with Galera, PostgreSQL, what mysqlclient is built with, clocks that can be
# set wrong, Prometheus, nginx, and what docs/deployment.md speaks of. Installed where that can be done, else said.
PATH="$PATH:/usr/sbin:/usr/local/sbin"
missing=""
command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null || missing="mariadb-server"
[ -e /usr/lib/galera/libgalera_smm.so ] && command -v rsync >/dev/null || missing="$missing galera-4 rsync"
command -v faketime >/dev/null || missing="$missing faketime"
command -v prometheus >/dev/null && command -v promtool >/dev/null || missing="$missing prometheus"
command -v haproxy >/dev/null || missing="$missing haproxy"
command -v nginx >/dev/null || missing="$missing nginx-light"
command -v systemd-analyze >/dev/null || missing="$missing systemd"
command -v curl >/dev/null || missing="$missing curl"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="$missing postgresql"
command -v mariadb_config >/dev/null || missing="$missing libmariadb-dev"
command -v gcc >/dev/null && command -v pkg-config >/dev/null || missing="$missing gcc pkg-config"
[ -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || missing="$missing python3-dev"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  # shellcheck disable=SC2086 # one word each
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
fi
echo "the tests need MariaDB 10.6 or newer, Galera, PostgreSQL, mysqlclient, faketime, Prometheus, haproxy, nginx, curl and systemd-analyze: apt-get install $missing" >&2
exit 1
