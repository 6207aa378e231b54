#!/bin/sh
# Runs once, in an empty primary: the role that the standby reads with.
set -eu
psql -v ON_ERROR_STOP=1 -v word="$(cat /run/secrets/replication_password)" -U "$POSTGRES_USER" -d postgres <<'SQL'
CREATE ROLE madang_replication LOGIN REPLICATION PASSWORD :'word';
SELECT pg_create_physical_replication_slot('standby');
SQL
echo 'host replication madang_replication samenet scram-sha-256' >>"$PGDATA/pg_hba.conf"
