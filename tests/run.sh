#!/bin/bash
# run.sh - runs the tests and counts them; the last line is "N passed, N failed".
#
#   tests/run.sh c [ROOM]      the tests in C; those that need stores use the ones of .run/env (make stores)
#   tests/run.sh all [ROOM]    everything, on stores and daemons of its own that are gone afterwards
#   tests/run.sh soak [STAGE]  the long forms: valgrind, asan, tsan, clang, chaos, rolling, book, fuzz, browser, images; or a half of a sanitizer's stage:
#                              address and thread are the tests in C, stack-address and stack-thread the daemons
#
# ROOM is a folder of tests/ (common, auth-svc, e2e, chaos, fuzz ...). CC and SAN choose the build of mode c.
# Outputs of all suites stay in build/test/out. tests/README.md tells more.
set -u
cd "$(dirname "$0")/.." || exit 1
MODE=${1:-} ROOM=${2:-}
CC=${CC:-gcc} SAN=${SAN:-}
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES T # this run's make calls are its own
JOBS=$(nproc)
OUT=$PWD/build/test/out
RESULTS=$PWD/build/test/results.$MODE.$$
. tests/support/suites.sh
. tests/support/stack.sh

finish() {
    local status=$?
    trap - EXIT INT TERM HUP
    stop_lanes
    rm -f "$RESULTS" "$RESULTS".*
    if [ -n "$STACK_DIR" ] && ! stack_remove >"$OUT/down.log" 2>&1; then
        echo "the stores or daemons of the tests did not stop:"
        cat "$OUT/down.log"
        status=1
    fi
    exit "$status"
}

wanted() { [ -z "$ROOM" ] || [ "$ROOM" = "$1" ]; }

compile() { # compile <name> <variables and targets...>
    local name=$1
    shift
    step "$name" 1800 make -j"$JOBS" "$@"
}

# ---- tests in C -------------------------------------------------------------------------------------------------------

c_programs() { # c_programs [room]: "room/test_name" of each
    local file
    for file in tests/*/test_*.c; do
        file=${file#tests/} file=${file%.c}
        [ ! -e "tests/$file.c" ] || [ -n "${1:-}" ] && [ "${file%%/*}" != "${1:-}" ] || echo "$file"
    done
}

c_unit() { # c_unit <build folder>:<program>
    local folder=${1%%:*} program=${1#*:} status=0
    DEFER=yes suite "${folder#build/} $program" 600 env -u PG_URL -u REDIS_URL -u KAFKA_BROKERS "$folder/tests/$program" || status=$?
    echo "$status $LAST_MS $program" >>"$OUT/units"
}

# c_units <build folder>: first round, without stores. Sets UNIT_TESTS (those that need none), of them QUICK_TESTS (8 s) and SHORT_TESTS (2 s), and STORE_TESTS.
c_units() {
    : >"$OUT/units"
    # Most of them wait for deadlines, not for the processor.
    pool $((JOBS + 1)) c_unit $(c_programs "$ROOM" | sed "s|^|$1:|")
    UNIT_TESTS=($(awk '$1 != 2 { print $3 }' "$OUT/units" | sort))
    QUICK_TESTS=($(awk '$1 != 2 && $2 <= 8000 { print $3 }' "$OUT/units" | sort))
    SHORT_TESTS=($(awk '$1 != 2 && $2 <= 2000 { print $3 }' "$OUT/units" | sort))
    STORE_TESTS=($(awk '$1 == 2 { print $3 }' "$OUT/units" | sort))
}

c_suite() { # c_suite <build folder>:<program>
    local folder=${1%%:*} program=${1#*:}
    TWICE=yes suite "${folder#build/} $program" 600 "$folder/tests/$program"
}

c_suites() { # c_suites <build folder> <programs...>
    local folder=$1
    shift
    pool "$JOBS" c_suite $(printf "$folder:%s\n" "$@")
}

build_of() { echo "build/$(basename "$1")${2:+-$2}"; } # build_of <compiler> [sanitizer]
targets_of() { printf "$1/tests/%s\n" "${@:2}"; } # targets_of <build folder> <programs...>

mode_c() {
    local folder
    folder=$(build_of "$CC" "$SAN")
    AGAIN_MAX=0 # what fails has failed
    stage "C tests, $folder"
    c_units "$folder"
    [ ${#STORE_TESTS[@]} = 0 ] || { stack_env "${RUN_DIR:-.run}/env" && c_suites "$folder" "${STORE_TESTS[@]}"; }
}

# ---- all of it --------------------------------------------------------------------------------------------------------

prepare_node() {
    [ tests/package-lock.json -ot tests/node_modules/.package-lock.json ] && return
    (cd tests && npm ci --no-audit --no-fund) && touch tests/node_modules/.package-lock.json && return
    echo "npm could not install the packages of tests/package.json: it needs its registry, or a tests/node_modules copied from elsewhere"
    return 1
}

# Where a test kills or stops a store that others use, nothing else runs beside it.
ALONE="crashStore\|signal('kafka', 'SIGSTOP')"
node_files() { # node_files <room> <alone|beside>: its *.test.mjs
    local file
    for file in tests/"$1"/*.test.mjs; do
        [ ! -e "$file" ] || { if grep -q "$ALONE" "$file"; then [ "$2" = alone ]; else [ "$2" = beside ]; fi && echo "${file#tests/}"; }
    done
}
node_room() { # node_room <room> <alone|beside>: one after the other
    local file
    for file in $(node_files "$1" "$2"); do node_suite "node ${file%.test.mjs}" "$((${SOAK:-0} ? 900 : 400))" "tests/$file"; done
}
beside_room() { # a room in a lane of its own
    stage "black-box tests of $1"
    node_room "$1" beside
    stage_end
}

rooms() { # the folders of tests/ that hold a room's tests
    local folder
    for folder in tests/*/; do
        folder=$(basename "$folder")
        case $folder in support | fuzz | bench | browser | e2e | chaos | standins | node_modules) ;; *) wanted "$folder" && echo "$folder" ;; esac
    done
}

has() { compgen -G "$1" >/dev/null; }

build_all() { # build_all [targets besides the daemons]
    stage "build"
    step install 900 deploy/local/install.sh run test
    step "node packages" 300 prepare_node
    # Nothing else can say anything when this fails.
    compile "build with gcc" CC=gcc build "$@"
}
build_otherwise() {
    [ -z "$ROOM" ] || return 0
    compile "build with clang" CC=clang build c-tests
    step "each header alone" 600 make headers
}

# These rooms start what they need themselves, so they run beside the others from the beginning.
OWN_STACKS="local gateway deploy"
own_rooms() {
    local room
    for room in $OWN_STACKS; do
        ! wanted "$room" || beside_room "$room"
    done
}
shared_rooms() { # the others that have black-box tests
    local room
    for room in $(rooms); do
        case " $OWN_STACKS " in *" $room "*) ;; *) ! has "tests/$room/*.test.mjs" || echo "$room" ;; esac
    done
}

# Rooms that run a match-svc share its group's partitions: what one kills would be the other's market. They go one after the other, beside the rest.
MARKET_ROOMS="chat-svc game-svc match-svc order-svc"
market_rooms() {
    local room
    for room in $(shared_rooms); do case " $MARKET_ROOMS " in *" $room "*) echo "$room" ;; esac done
}
other_rooms() {
    local room
    for room in $(shared_rooms); do case " $MARKET_ROOMS " in *" $room "*) ;; *) echo "$room" ;; esac done
}
beside_rooms() { # beside_rooms <rooms, in one word>
    local room
    for room in $1; do beside_room "$room"; done
}

# What only compiles and computes, beside the tests that mostly wait, and behind them when both want the processor.
low_lane() {
    LOW=yes
    if [ ${#QUICK_TESTS[@]} != 0 ]; then # the rules and parsers; what mostly waits has its turn in the soak
        stage "C tests without stores, address and undefined-behaviour sanitizers"
        compile "build with sanitizers" SAN=address $(targets_of build/gcc-address "${QUICK_TESTS[@]}") &&
            c_suites build/gcc-address "${QUICK_TESTS[@]}"
    fi
    build_otherwise
    [ -n "$ROOM" ] || fuzzing 5
    stage_end
}

room_tests() {
    local room
    [ -n "$(rooms)" ] || return 0
    lane own_rooms
    OWN_LANE=${LANES[-1]}
    stage "C tests without stores"
    c_units build/gcc
    lane low_lane
    stage "stores"
    step "make stores" 300 stack_make stores && stack_env "$STACK_DIR/env" || return 1
    [ ${#STORE_TESTS[@]} = 0 ] || { stage "C tests with stores" && c_suites build/gcc "${STORE_TESTS[@]}"; }
    stage "black-box tests, two rooms at a time"
    pool 2 beside_rooms "$(market_rooms)" "$(other_rooms)"
    stage "black-box tests that kill stores"
    for room in $(shared_rooms); do node_room "$room" alone; done
    stage_end
    join "$OWN_LANE"
    again
}

DAEMONS="gateway auth-svc user-svc chat-svc presence-svc push-svc notify-svc match-svc order-svc game-svc"
whole_up() { # two of each, started anew
    stage "the whole stack"
    # On stores of its own: the rooms' tests leave events on the topics that no service ever sent.
    step "fresh stores" 120 stack_remove
    # Leases are short, so that what a killed instance leaves behind ends within the run.
    export PRESENCE_BEAT_SECONDS=4 PRESENCE_LEASE_SECONDS=12
    # Only the traces that a test asks for, to a collector that the test plays; sockets that a successor takes over.
    export OTLP_URL="http://127.0.0.1:$((STACK_PORTS + 30))/v1/traces" TRACE_PERCENT=0 LISTEN_SHARED=on
    # Rounds are short, so that several fit into a test.
    export GAME_SETUP_SECONDS=2 GAME_OPEN_SECONDS=20 GAME_BREAK_SECONDS=4 GAME_NEWS_SECONDS=3 GAME_COUNTDOWN_SECONDS=5 GAME_BOT_DELAY_MS=500 GAME_BOT_GAP_MS=300 GAME_RESULT_WAIT_SECONDS=10
    step "make up" 600 stack_make up SCALE="$(printf '%s=2 ' $DAEMONS)" && stack_env "$STACK_DIR/env"
}
whole_stack() { # whole_stack <seconds of chaos>
    wanted e2e || wanted chaos || return 0
    whole_up || return 1
    if wanted e2e; then
        stage "end to end"
        export CONTRACT=${CONTRACT:-on} # replies against docs/openapi.yaml
        node_room e2e beside
        node_room e2e alone
        again
        unset CONTRACT
    fi
    if wanted chaos; then
        stage "chaos, $1 s"
        suite "chaos${SAN:+ $SAN}" $(($1 + 400)) node tests/chaos/chaos.mjs --seconds "$1" ${CHAOS_SEED:+--seed "$CHAOS_SEED"}
        keep_logs "chaos${SAN:+ $SAN}"
    fi
}

# keep_logs <suite>: when something in it failed, what the daemons and stores of the tests' stack said stays, beside its output.
keep_logs() {
    local output
    output=$(output_of "$1")
    ! grep -aqE '^[1-9][0-9]* passed, 0 failed$' "$output.log" || return 0
    mkdir -p "$output.logs"
    cp "$STACK_DIR"/*.log "$STACK_DIR"/*.log.1 "$output.logs/" 2>/dev/null
    echo "logs of its stack: $output.logs"
}

fuzzing() { # fuzzing <seconds each>
    wanted fuzz && has 'tests/fuzz/fuzz_*.c' || return 0
    stage "fuzzers, $1 s each"
    compile "build fuzzers" fuzzers && suite fuzz 1800 make --no-print-directory fuzz FUZZ_SECONDS="$1"
}

tracing() {
    [ -z "$ROOM" ] || return 0
    stage "requirements"
    step "make trace" 60 make --no-print-directory trace
}

cleanup() {
    local folder=$STACK_DIR
    stage "nothing is left"
    step "make down" 120 stack_remove || return 1
    STACK_DIR=
    step "no process left" 10 stack_leftovers "$folder" "$(ps -o sid= -p $$ | tr -d ' ')"
}

mode_all() {
    [ -z "$ROOM" ] || [ -d "tests/$ROOM" ] || { echo "tests/ has no room $ROOM"; return 1; }
    build_all c-tests || return
    stack_prepare >"$OUT/prepare.log" 2>&1 || { record "a place for the stack" 0 1 "$(now_ms)" "$OUT/prepare.log"; return; }
    room_tests
    whole_stack 60
    [ "$ROOM" != fuzz ] || fuzzing 5
    hurry
    join # what still computes
    again
    tracing
    cleanup
}

# ---- the long forms ---------------------------------------------------------------------------------------------------

# The two tools do not bear the thread sanitizer, which does not know librdkafka's threads (common/kafka_conf.c makes it know those of
# the daemons and tests).
plain_tools() { mkdir -p "$1/bin" && cp build/gcc/bin/madang-* "$1/bin/"; }

soak_build() { # soak_build <compiler> [sanitizer]: every test in C of one build
    local folder
    folder=$(build_of "$1" "${2:-}")
    stage "$folder"
    compile "build $folder" CC="$1" SAN="${2:-}" c-tests || return 1
    [ "${2:-}" != thread ] || plain_tools "$folder" || return 1
    c_units "$folder"
    [ -e "$STACK_DIR/env" ] || step "make stores" 300 stack_make stores || return 1
    stack_env "$STACK_DIR/env" && c_suites "$folder" "${STORE_TESTS[@]}"
}

# The short ones that need no store: valgrind is some thirty times slower, and the sanitizers have seen the others.
soak_valgrind() {
    soak_build gcc
    stage "valgrind"
    pool "$JOBS" soak_valgrind_one "${SHORT_TESTS[@]}"
}
soak_valgrind_one() {
    suite "valgrind $1" 900 env -u PG_URL -u REDIS_URL -u KAFKA_BROKERS valgrind --quiet --error-exitcode=9 --leak-check=full \
        --errors-for-leak-kinds=definite "build/gcc/tests/$1"
}

sanitizers_inside() {
    local file
    for file in "$STACK_DIR"/*-[0-9]*.pid; do
        grep -qE 'lib[at]san' "/proc/$(cat "$file")/maps" || { echo "$file: a process without sanitizer"; return 1; }
    done
}
sanitizers_silent() { ! grep -aHE 'ERROR: [A-Za-z]+Sanitizer|WARNING: ThreadSanitizer|runtime error:' "$STACK_DIR"/*-[0-9]*.log; }

# Every daemon with a sanitizer inside, under the end-to-end tests and a minute of chaos.
soak_stack() { # soak_stack <sanitizer>
    export SAN=$1
    export HASH_MEMORY_KIB=1024 HASH_PASSES=1 # under the thread sanitizer log-ins end in 504 else; hashes have tests of their own
    compile "build with $1 sanitizer" build && plain_tools "build/gcc-$1" && whole_stack 60 # the daemons are what is looked at
    [ ! -e "$STACK_DIR" ] || step "the $1 sanitizer is in the daemons" 10 sanitizers_inside
    stack_make down >"$OUT/down.log" 2>&1 # leaks are told at the end
    [ ! -e "$STACK_DIR" ] || step "the $1 sanitizer found nothing in the daemons" 10 sanitizers_silent
    unset SAN HASH_MEMORY_KIB HASH_PASSES
}

# The pages, looked at by Debian's Chromium.
soak_browser() {
    stage "the pages in a browser"
    step "install chromium" 900 deploy/local/install.sh browser && whole_up && node_room browser beside
}

# Every image, built on a Debian of debootstrap and started once on real stores; nothing of it stays. As root: buildah's chroot isolation.
soak_images() {
    local storage=$PWD/build/test/images
    stage "images"
    step "install buildah" 900 deploy/local/install.sh images || return 1
    rm -rf --one-file-system "$storage"
    mkdir -p "$storage"
    printf '[storage]\ndriver = "vfs"\nrunroot = "%s/run"\ngraphroot = "%s/graph"\n' "$storage" "$storage" >"$storage/storage.conf"
    export CONTAINERS_STORAGE_CONF=$storage/storage.conf BUILDAH_ISOLATION=chroot ENGINE=buildah PREFIX=localhost/madang/
    export BASE=localhost/madang-base:latest PORT=$((STACK_PORTS + 40)) TMPDIR=$storage
    step "Debian, the base" 1200 deploy/images/base.sh "$BASE" && step "ten images" 7200 deploy/images/build.sh &&
        step "make stores" 300 stack_make stores && stack_env "$STACK_DIR/env" && suite "each image, started" 900 deploy/images/try.sh
    unset TMPDIR
    rm -rf --one-file-system "$storage"
}

SOAK_STAGES="valgrind asan tsan clang chaos rolling book fuzz browser images"
SOAK_HALVES="address thread stack-address stack-thread"
soak_stage() {
    case $1 in
    valgrind) soak_valgrind ;;
    asan) soak_stage address; soak_stage stack-address ;;
    tsan) soak_stage thread; soak_stage stack-thread ;;
    address | thread) soak_build gcc "$1" ;;
    clang) soak_build clang ;;
    stack-*) soak_stack "${1#stack-}" ;;
    chaos)
        whole_stack 600
        suite "chaos of the trading game" 1800 node tests/chaos/trading.mjs --seconds 600
        ;;
    rolling) whole_up && suite "rolling restarts" 1800 node tests/chaos/rolling.mjs ;;
    book) suite "the order book and its model, 100,000,000 commands" 10800 env COMMANDS=100000000 build/gcc/tests/match-svc/test_book_random ;;
    fuzz) fuzzing 60 ;;
    browser) soak_browser ;;
    images) soak_images ;;
    esac
}

mode_soak() {
    local stages=${ROOM:-$SOAK_STAGES} each passed failed verdicts=()
    case " $SOAK_STAGES $SOAK_HALVES " in *" $stages "*) ;; *) echo "the stages of soak are: $SOAK_STAGES ($SOAK_HALVES)"; return 1 ;; esac
    case $stages in # of one stage alone: what it needs, as of one room
    browser | images) build_all || return ;;
    *) build_all c-tests || return; build_otherwise ;;
    esac
    ROOM=
    stack_prepare >"$OUT/prepare.log" 2>&1 || { record "a place for the stack" 0 1 "$(now_ms)" "$OUT/prepare.log"; return; }
    AGAIN_MAX=0
    export SOAK=1 # tests with a long form take it
    export COMMANDS=400000 # of the order book, in every build; its long form is a stage
    for each in $stages; do
        passed=$(passed_count) failed=$(failed_count)
        soak_stage "$each"
        verdicts+=("soak $each: $(($(passed_count) - passed)) passed, $(($(failed_count) - failed)) failed")
        stage_end
        echo "${verdicts[-1]}"
    done
    cleanup
    stage_end
    printf '%s\n' "${verdicts[@]}"
}

# ---- which one ---------------------------------------------------------------------------------------------------------

mkdir -p "$OUT"
rm -f "$RESULTS".*
: >"$RESULTS"
if [ "$MODE" != c ]; then
    exec 9>build/test/lock # closed for suites, so that nothing they leave behind holds it
    flock -n 9 || { echo "another run works in build/test of this checkout"; exit 1; }
fi
trap finish EXIT
trap 'exit 130' INT TERM HUP
case $MODE in
c) mode_c ;;
all) mode_all ;;
soak) mode_soak ;;
*) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
total
