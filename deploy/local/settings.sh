# settings.sh - sourced: where everything of the local stack lies and listens. README.md lists the names.
# Sets and exports ROOT, BUILD, RUN_DIR, the ports, PG_URL, REDIS_URL, KAFKA_BROKERS, OWN_PG, OWN_REDIS, OWN_KAFKA (yes or no).

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-build/gcc}
case $BUILD in /*) ;; *) BUILD=$ROOT/$BUILD ;; esac
RUN_DIR=${RUN_DIR:-$ROOT/.run}
case $RUN_DIR in /*) ;; *) RUN_DIR=$ROOT/$RUN_DIR ;; esac
CACHE_DIR=${CACHE_DIR:-$ROOT/.cache}
export ROOT BUILD RUN_DIR CACHE_DIR

# What the gateway shows at /docs and /openapi.yaml.
export DOCS_DIR="${DOCS_DIR:-$CACHE_DIR/docs}" OPENAPI_FILE="${OPENAPI_FILE:-$ROOT/docs/openapi.yaml}"

say() { printf '%s\n' "$*"; }
die() { printf 'madang: %s\n' "$*" >&2; exit 1; }

# A supervisor holds the lock of its part, "stores" or "daemons", as long as it lives.
is_up() { [ -e "$RUN_DIR/$1.lock" ] && ! flock -n -s "$RUN_DIR/$1.lock" true; }

# What runs already keeps its addresses, whatever the environment says now.
if is_up stores; then
    asked_pg=${PG_URL:-} asked_redis=${REDIS_URL:-} asked_kafka=${KAFKA_BROKERS:-}
    asked="${PG_PORT:-} ${REDIS_PORT:-} ${KAFKA_PORT:-}"
    . "$RUN_DIR/settings"
    { [ -z "$asked_pg" ] || [ "$asked_pg" = "$PG_URL" ]; } &&
        { [ -z "$asked_redis" ] || [ "$asked_redis" = "$REDIS_URL" ]; } &&
        { [ -z "$asked_kafka" ] || [ "$asked_kafka" = "$KAFKA_BROKERS" ]; } ||
        say "madang: the stores are up already; other addresses count after \`make down\`" >&2
else
    PG_PORT=${PG_PORT:-15432}
    REDIS_PORT=${REDIS_PORT:-16379}
    KAFKA_PORT=${KAFKA_PORT:-19092}
    KAFKA_CONTROLLER_PORT=${KAFKA_CONTROLLER_PORT:-$((KAFKA_PORT + 1))}

    # A server of somebody else, or ours (its address comes back to us when a shell has sourced .run/env)?
    OWN_PG=no OWN_REDIS=no OWN_KAFKA=no
    case ${PG_URL:-} in '' | *@127.0.0.1:"$PG_PORT"/madang) OWN_PG=yes ;; esac
    case ${REDIS_URL:-} in '' | redis://127.0.0.1:"$REDIS_PORT") OWN_REDIS=yes ;; esac
    case ${KAFKA_BROKERS:-} in '' | 127.0.0.1:"$KAFKA_PORT") OWN_KAFKA=yes ;; esac
    [ $OWN_REDIS = no ] || REDIS_URL=redis://127.0.0.1:$REDIS_PORT
    [ $OWN_KAFKA = no ] || KAFKA_BROKERS=127.0.0.1:$KAFKA_PORT
fi
export PG_PORT REDIS_PORT KAFKA_PORT KAFKA_CONTROLLER_PORT OWN_PG OWN_REDIS OWN_KAFKA PG_URL REDIS_URL KAFKA_BROKERS

if is_up daemons; then
    . "$RUN_DIR/settings.daemons"
else
    GATEWAY_HOST=${GATEWAY_HOST:-127.0.0.1}
    GATEWAY_PORT=${GATEWAY_PORT:-8080}
    SERVICE_PORT_BASE=${SERVICE_PORT_BASE:-7100}
    ADMIN_PORT_BASE=${ADMIN_PORT_BASE:-7300}
    PROFILE=${PROFILE:-dev}
fi
export GATEWAY_HOST GATEWAY_PORT SERVICE_PORT_BASE ADMIN_PORT_BASE PROFILE

# The user that runs the stores: a plain one. PostgreSQL refuses to run as root.
if [ "$(id -u)" = 0 ]; then
    STORE_USER=${STORE_USER:-madang}
    # Data that stand there already belong to the user that made them.
    [ ! -d "$RUN_DIR/stores/postgres" ] || STORE_USER=$(stat -c %U "$RUN_DIR/stores/postgres")
    id -u "$STORE_USER" >/dev/null 2>&1 || STORE_USER=nobody
    as_store_user() { setpriv --reuid="$STORE_USER" --regid="$(id -g "$STORE_USER")" --clear-groups -- "$@"; }
else
    STORE_USER=
    as_store_user() { "$@"; }
fi
export STORE_USER
