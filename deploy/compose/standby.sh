#!/bin/sh
# The standby: a copy of the primary taken once, then its stream. To take over: docker compose exec postgres-standby pg_ctl promote (docs/runbooks/database-lost.md).
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    rm -rf "${PGDATA:?}"/*
    PGPASSWORD=$(cat /run/secrets/replication_password) pg_basebackup -h postgres -U madang_replication -S standby -D "$PGDATA" -R -X stream
    chmod 700 "$PGDATA"
fi
exec postgres -c hot_standby=on
