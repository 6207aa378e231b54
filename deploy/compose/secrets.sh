#!/bin/sh
# secrets.sh - makes the secrets of the compose suite in ./secrets, once: what is there stays. Set SLACK_WEBHOOK to have alarms in Slack.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
word() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -s "secrets/$1" ] || printf '%s' "$2" >"secrets/$1"; } # keep <name> <value>
for name in postgres_password replication_password auth_secret files_secret grafana_password; do keep $name "$(word)"; done
roles=
for role in auth user chat presence push notify match order game; do
    password=$(sed -n 's|.*madang_'$role':\([0-9a-f]*\)@.*|\1|p' "secrets/${role}_db_url" 2>/dev/null || :)
    password=${password:-$(word)}
    keep "${role}_db_url" "postgresql://madang_$role:$password@postgres:5432/madang"
    roles="$roles $role=$password"
done
printf '%s' "${roles# }" >secrets/role_passwords
keep slack_webhook "${SLACK_WEBHOOK:-http://localhost/no-webhook-set}"
chmod 444 secrets/* # files of compose keep their mode, and the daemons are user 65532; the folder itself is closed
echo "secrets are in $(pwd)/secrets; Grafana: admin, $(cat secrets/grafana_password)"
