# A stand-in for `postgres:17-alpine` where no registry can be reached: Debian's, started alike.
FROM debian:bookworm-slim
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends postgresql >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* \
 && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data \
 && chmod 3777 /run/postgresql
ENV PATH=/usr/lib/postgresql/15/bin:$PATH
RUN printf '%s\n' '#!/bin/sh' 'set -e' 'cd /var/lib/postgresql/data' \
    'if [ ! -s PG_VERSION ]; then' \
    '  printf "%s" "$POSTGRES_PASSWORD" > /tmp/password' \
    '  initdb -D . -U "$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 -E UTF8 >/dev/null' \
    '  rm /tmp/password' \
    '  echo "host all all all scram-sha-256" >> pg_hba.conf' \
    '  echo "create database \"$POSTGRES_DB\"" | postgres --single -D . postgres >/dev/null' \
    'fi' \
    'exec postgres -D . -c listen_addresses="*" -c unix_socket_directories=/var/run/postgresql' \
    > /usr/local/bin/start && chmod 755 /usr/local/bin/start
USER postgres
CMD ["start"]
