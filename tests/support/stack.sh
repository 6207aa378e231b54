# stack.sh - sourced by tests/run.sh: stores and daemons of the tests' own, on free ports, in a folder that is gone afterwards.
# Nothing of the developer's own stack (.run) is touched, whatever addresses the environment carries.

STACK_DIR= # set while the stack may exist

# The first of four hundred neighbouring ports of which none is taken.
free_ports() {
    local base taken
    taken=$(ss -Hltn 2>/dev/null | awk '{ n = split($4, part, ":"); print part[n] }')
    for base in $(seq $((20000 + $$ % 29 * 400)) 400 31600) $(seq 20000 400 31600); do
        echo "$taken" | awk -v base="$base" '$1 >= base && $1 < base + 400 { exit 1 }' && { echo "$base"; return; }
    done
    return 1
}

# make in front of the tests' stack. PROFILE=bench because all requests of the tests come from one address; six partitions as in a cluster,
# so that each of two or three instances has several.
stack_make() {
    local base=$STACK_PORTS
    env -u PG_URL -u REDIS_URL -u KAFKA_BROKERS RUN_DIR="$STACK_DIR" PROFILE=bench KAFKA_PARTITIONS="${KAFKA_PARTITIONS:-6}" PG_PORT="$base" REDIS_PORT=$((base + 1)) \
        KAFKA_PORT=$((base + 2)) KAFKA_CONTROLLER_PORT=$((base + 3)) GATEWAY_PORT=$((base + 10)) SERVICE_PORT_BASE=$((base + 100)) \
        ADMIN_PORT_BASE=$((base + 250)) make --no-print-directory "$@" 9>&-
}
export -f stack_make

# stack_prepare: chooses a place and ports; what an interrupted run left there goes.
stack_prepare() {
    STACK_PORTS=${TEST_PORT_BASE:-$(free_ports)} || { echo "no four hundred free ports in a row"; return 1; }
    STACK_DIR=$PWD/build/test/run
    export STACK_DIR STACK_PORTS
    stack_make down && stack_make clean-data
}

stack_env() { # stack_env <file>: the addresses, for the suites
    [ -r "$1" ] || { echo "$1 is missing: make stores"; return 1; }
    RUN_DIR=$(dirname "$1")
    export RUN_DIR
    set -a
    . "$1"
    set +a
}

# For suites that start stacks of their own.
without_stack() {
    env -u RUN_DIR -u PG_URL -u REDIS_URL -u KAFKA_BROKERS -u GATEWAY_URL -u GATEWAY_ADMIN_URL -u STACK_DIR -u STACK_PORTS "$@"
}

stack_remove() { stack_make down && stack_make clean-data; }

# Fails with their names when processes still work in the folder. Suites have sessions of their own, which are over by now.
stack_leftovers() { # stack_leftovers <folder> <session of the runner>
    local process found=0
    for process in /proc/[0-9]*; do
        grep -qzxF "RUN_DIR=$1" "$process/environ" 2>/dev/null || continue
        case $(ps -o sid= -p "${process#/proc/}" | tr -d ' ') in "$2" | "$(ps -o sid= -p $$ | tr -d ' ')") continue ;; esac
        echo "still there: ${process#/proc/} $(tr '\0' ' ' <"$process/cmdline")"
        found=1
    done
    return $found
}
