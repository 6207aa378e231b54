#!/bin/sh
# try.sh [TAG] - starts each image once with buildah, on the stores of `make stores`, waits until it is ready and asks --health inside; then SIGTERM. Needs what build.sh made, and root.
# The last line is "N passed, N failed".
set -eu
cd "$(dirname "$0")/../.."
tag=${1:-0.1.0} prefix=${PREFIX:-madang/} port=${PORT:-17810}
. "${RUN_DIR:-.run}/env"
export PG_URL REDIS_URL KAFKA_BROKERS
run="buildah run ${BUILDAH_ISOLATION:+--isolation $BUILDAH_ISOLATION} --user 65532:65532"
passed=0 failed=0

try() { # try <daemon> <settings ...>
    daemon=$1
    shift
    container=$(buildah from --pull-never "$prefix$daemon:$tag")
    set -- "$@" "LISTEN=127.0.0.1:$port" "ADMIN_LISTEN=127.0.0.1:$((port + 1))" WS_LISTEN=127.0.0.1:0 DRAIN_SECONDS=0 "REDIS_URL=$REDIS_URL" "KAFKA_BROKERS=$KAFKA_BROKERS" "AUTH_URL=${AUTH:-}"
    environment=
    for each in "$@"; do environment="$environment --env $each"; done
    $run $environment "$container" -- /daemon >"${TMPDIR:-/tmp}/image-$daemon.log" 2>&1 &
    pid=$!
    tries=0
    until curl -sf "http://127.0.0.1:$((port + 1))/readyz" >/dev/null || [ $tries -ge 1200 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    if [ $tries -lt 1200 ] && $run $environment "$container" -- /daemon --health; then
        echo "ok $daemon: ready, healthy"
        passed=$((passed + 1))
    else
        echo "not ok $daemon: $(tail -2 "${TMPDIR:-/tmp}/image-$daemon.log")"
        failed=$((failed + 1))
    fi
    port=$((port + 10))
    [ "$daemon" != auth-svc ] || { AUTH=http://127.0.0.1:$((port - 10)) auth_pid=$pid auth_container=$container; return; }
    stop "$pid" "$container"
}
stop() { # the daemon is a child of buildah
    pkill -TERM -g 0 -P "$1" 2>/dev/null || :
    for child in $(pgrep -P "$1"); do pkill -TERM -P "$child" 2>/dev/null || :; done
    kill -TERM "$1" 2>/dev/null || :
    wait "$1" 2>/dev/null || :
    buildah rm "$2" >/dev/null
}

try auth-svc "AUTH_DB_URL=$AUTH_DB_URL"
try gateway
for name in user chat presence push notify match order game; do
    url=$(eval echo "\$$(echo $name | tr a-z A-Z)_DB_URL")
    try "$name-svc" "$(echo $name | tr a-z A-Z)_DB_URL=$url" "DATA_DIR=/data" GAME=off
done
stop "$auth_pid" "$auth_container"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
