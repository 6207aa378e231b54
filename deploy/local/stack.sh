#!/bin/sh
# stack.sh <command> - what the make targets of deploy/local/local.mk call. README.md explains.
#   stores, stores-down, up, run, down, daemons-down, status, one <service>, inbox <address>, clean-data, after-ready
set -eu
. "$(dirname "$0")/settings.sh"
. "$ROOT/deploy/local/prepare.sh"
cd "$ROOT"
SUPERVISE_PROGRAM=$BUILD/bin/madang-supervise

# The secrets and .run/env, for the supervisor and for demo.sh.
load() {
    set -a
    . "$RUN_DIR/secrets"
    . "$RUN_DIR/env"
    set +a
}

prepare_for() {
    case ${1:-} in
    stores | up | run)
        prepare
        load
        [ "$1" = stores ] || "$ROOT/deploy/docs/prepare.sh" "$DOCS_DIR"
        ;;
    one)
        prepare
        load
        "$SUPERVISE_PROGRAM" stores
        exec "$SUPERVISE_PROGRAM" one "${2:?}"
        ;;
    stores-down | daemons-down | down | status) [ -d "$RUN_DIR" ] || { say "nothing runs"; exit 0; } ;;
    esac
}

run_command() {
    case ${1:-} in
    stores)
        "$SUPERVISE_PROGRAM" stores
        say "stores are up: addresses in $RUN_DIR/env"
        ;;
    up)
        "$SUPERVISE_PROGRAM" up
        "$ROOT/deploy/local/demo.sh"
        ;;
    run) exec "$SUPERVISE_PROGRAM" run "$ROOT/deploy/local/stack.sh" after-ready ;;
    after-ready) # a child of `run`
        "$SUPERVISE_PROGRAM" wait
        "$ROOT/deploy/local/demo.sh"
        ;;
    stores-down | daemons-down | down | status) exec "$SUPERVISE_PROGRAM" "$1" ;;
    inbox)
        [ -n "${2:-}" ] || die "whose? make inbox TO=<address or user id>"
        [ "$OWN_KAFKA" = no ] || is_up stores || die "nothing runs: \`make up\` first"
        [ ! -e "$RUN_DIR/env" ] || PUSH_DB_URL=$(. "$RUN_DIR/env" && printf %s "${PUSH_DB_URL:-}")
        PUSH_DB_URL=${PUSH_DB_URL:-} exec "$BUILD/bin/madang-inbox" "$2"
        ;;
    clean-data)
        ! is_up stores && ! is_up daemons || die "something runs: \`make down\` first"
        [ ! -L "$RUN_DIR/stores" ] || rm -rf "$(readlink -f "$RUN_DIR/stores")"
        rm -rf "$RUN_DIR"
        ;;
    *) die "usage: stack.sh stores|stores-down|up|run|down|daemons-down|status|one <service>|inbox <address>|clean-data" ;;
    esac
}

# On one line, read before anything runs: a pull may change this file meanwhile.
prepare_for "$@"; run_command "$@"; exit
