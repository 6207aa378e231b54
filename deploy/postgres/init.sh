#!/bin/sh
# init.sh - makes the services' schemas and roles in the database of PG_URL (its owner). Safe to repeat.
# Environment: PG_URL, PG_ROLE_PASSWORDS ("auth=... user=..."); CREATE_DATABASE=on makes the database first, when it is not there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
: "${PG_URL:?}" "${PG_ROLE_PASSWORDS:?}"
export PGCONNECT_TIMEOUT=10

# decode <text>: %41 -> A. Of a valid URL, where every percent sign begins one.
decode() {
    rest=$1
    while [ "$rest" != "${rest#*%}" ]; do
        printf '%s' "${rest%%%*}"
        rest=${rest#*%}
        printf "\\$(printf '%03o' "0x$(printf '%.2s' "$rest")")"
        rest=${rest#??}
    done
    printf '%s' "$rest"
}

# psql shows its connection string to every user of the machine (ps), so the password goes by environment.
# postgresql://user:password@host:port/database?options
address=${PG_URL#*://}
case $address in
*@*) login=${address%%@*} address=${address#*@} ;;
*) login= ;;
esac
case $login in
*:*) PGPASSWORD=$(decode "${login#*:}")
    export PGPASSWORD
    login=${login%%:*} ;;
esac
url=postgresql://${login:+$login@}$address

if [ "${CREATE_DATABASE:-off}" = on ]; then
    database=${address#*/}
    database=${database%%\?*}
    psql -qX -v ON_ERROR_STOP=1 -v name="$database" "postgresql://${login:+$login@}${address%%/*}/postgres" <<'END'
SELECT format('CREATE DATABASE %I', :'name') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC; -- the server is ours alone: services enter their database, nothing else
END
fi
exec psql -qX -v ON_ERROR_STOP=1 -f "$here/init.sql" "$url"
