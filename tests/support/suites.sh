# suites.sh - sourced by tests/run.sh: runs suites, in lanes beside each other where they do not meet, reads how many tests each passed and
# failed, adds them up.
#
# A suite is a program that says so itself: in C "N passed, N failed"; node --test "# pass N", "# fail N". One that crashes, runs out of
# time, prints no count or finds no test is one failure. What failed is printed in full, what passed in one line.
# A suite that fails is played a second time when no other runs beside it (again): on a machine that others use as well, a file of hundreds of
# waits now and then meets a pause that no deadline foresaw. The first output is printed in full, the last lines name the suite; AGAIN_MAX of
# them at most in a run, none in the soak. What a sanitizer has found, fuzzers and chaos have one try.
# Reads: OUT (folder of the outputs), RESULTS (a file of this run: a line "passed failed skipped ms name" of each suite, whichever lane it
# ran in), LOW=yes (a lane that leaves the cores to the others). Sets: LAST_MS (of the last suite of this lane).

LOW=${LOW:-no}
AGAIN_MAX=${AGAIN_MAX:-3}
LAST_MS=0
RUNNING=   # process group of the suite that runs now in this lane
LANES=()   # processes of the lanes that this one began
STAGE= STAGE_BEGAN=0

now_ms() { echo $(($(date +%s%N) / 1000000)); }
seconds() { printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100)); }

stage() { # stage <name>: says how long the last one took
    stage_end
    STAGE=$1 STAGE_BEGAN=$(now_ms)
    echo "== $STAGE"
}

stage_end() {
    [ -z "$STAGE" ] || echo "== $STAGE took $(seconds $(($(now_ms) - STAGE_BEGAN)))"
    STAGE=
}

# ---- lanes ------------------------------------------------------------------------------------------------------------

# lane <command...>: begins it beside what follows. Its process is the last of LANES.
lane() {
    (
        LANES=() RUNNING= STAGE=
        trap 'stop_lanes; exit 143' TERM
        "$@"
    ) 9>&- &
    LANES+=($!)
}

join() { # join [process of a lane]: waits for it, or for all
    local each kept=()
    for each in "${LANES[@]}"; do
        if [ -z "${1:-}" ] || [ "$1" = "$each" ]; then wait "$each"; else kept+=("$each"); fi
    done
    LANES=("${kept[@]}")
}

stop_lanes() { # what this lane runs, and the lanes it began
    local each
    [ -z "$RUNNING" ] || kill -KILL -- "-$RUNNING" 2>/dev/null
    for each in "${LANES[@]}"; do kill -TERM "$each" 2>/dev/null; done
    for each in "${LANES[@]}"; do wait "$each" 2>/dev/null; done
    LANES=()
}

# pool <lanes> <function> <items...>: calls the function with each item, so many at a time.
pool() {
    local width=$1 each=$2 item finished before=("${LANES[@]}")
    local -A running=()
    shift 2
    for item in "$@"; do
        if [ ${#running[@]} -ge "$width" ]; then
            wait -n -p finished "${!running[@]}"
            unset "running[$finished]"
        fi
        lane "$each" "$item"
        running[${LANES[-1]}]=1
    done
    [ ${#running[@]} = 0 ] || wait "${!running[@]}"
    LANES=("${before[@]}")
}

# Sessions are scheduled as groups: niceness of one process counts only inside its own.
background() { # background <command...>
    { echo 10 >/proc/self/autogroup; } 2>/dev/null
    exec nice -n 10 "$@"
}
export -f background

# Nothing else is left to wait for: what ran behind everything has the cores now. On a machine that others keep busy it had almost nothing.
hurry() {
    local leader
    : >"$RESULTS.hurry"
    for leader in $(cat "$RESULTS.low" 2>/dev/null); do
        { echo 0 >"/proc/$leader/autogroup"; } 2>/dev/null
        renice -n 0 -g "$leader" >/dev/null 2>&1 # only root may
    done
}

# Where the threads of a session's programs stand, which is what can still be learnt of a suite that hangs.
stacks() { # stacks <process group>
    local pid
    for pid in $(ps -o pid= -s "$1"); do
        echo "---- where $(ps -o pid=,etime=,args= -p "$pid" | cut -c1-200) stands"
        case $(ps -o comm= -p "$pid") in
        bash | sh | timeout) ;;
        node) ss -Htnp | grep "pid=$pid," ;;
        *) timeout 20 gdb -p "$pid" -batch -nx -ex 'thread apply all bt 20' 2>/dev/null </dev/null | grep -E '^(Thread|#)' | cut -c1-200 ;;
        esac
    done
}
stacks_before() { # stacks_before <seconds> <process group>
    trap 'kill "$!" 2>/dev/null; exit 0' TERM
    sleep "$1" &
    wait "$!" && stacks "$2"
}

# run_group <seconds> <output> <command...>: a program or function of ours, in a session of its own, so that nothing of it survives. Its
# exit status; 124 after a time-out.
run_group() {
    local limit=$1 output=$2 status=0 watcher=
    shift 2
    [ "$(type -t "$1")" != function ] || { export -f "${1?}" && set -- bash -c '"$@"' run "$@"; }
    [ "$LOW" = no ] || [ -e "$RESULTS.hurry" ] || set -- bash -c 'background "$@"' run "$@"
    setsid timeout --foreground -k 10 "$limit" "$@" >"$output" 2>&1 </dev/null 9>&- &
    RUNNING=$!
    [ "$LOW" = no ] || echo "$RUNNING" >>"$RESULTS.low"
    [ "$limit" -lt 60 ] || { stacks_before $((limit - 20)) "$RUNNING" >>"$output" 2>&1 9>&- & watcher=$!; }
    wait "$RUNNING" || status=$?
    [ -z "$watcher" ] || { kill -TERM "$watcher" && wait "$watcher"; } 2>/dev/null
    kill -KILL -- "-$RUNNING" 2>/dev/null
    RUNNING=
    return "$status"
}

record() { # record <name> <passed> <failed> <began> <output> [why]
    local took line
    LAST_MS=$(($(now_ms) - $4))
    took=$(seconds "$LAST_MS")
    line="$1: $2 of $(($2 + $3)) passed, $took${6:+ ($6)}"
    (
        flock 8
        echo "$2 $3 ${skipped:-0} $LAST_MS $1" >>"$RESULTS"
        if [ "$3" = 0 ]; then
            echo "ok      $line"
        else
            echo "FAILED  $line"
            show "$1" "$5"
        fi
    ) 8>>"$RESULTS.lock"
}
show() { # show <name> <output>
    echo "-------- output of $1"
    cat "$2"
    echo "-------- end of $1"
}

# put_off <name> <seconds> <file> <began> <output>: this one is played again; false when it may not be.
put_off() {
    (
        flock 8
        [ "$(cat "$RESULTS.again" "$RESULTS.unsure" 2>/dev/null | wc -l)" -lt "$AGAIN_MAX" ] || exit 1
        echo "$2 $3 $1" >>"$RESULTS.again"
        echo "UNSURE  $1: failed after $(seconds $(($(now_ms) - $4))); once more when no other suite runs"
        show "$1" "$5" | sed 's/^/| /'
    ) 8>>"$RESULTS.lock"
}

# Those that were put off, one after the other. No other suite may run.
again() {
    local limit file name
    [ -s "$RESULTS.again" ] || return 0
    stage "once more, alone"
    cat "$RESULTS.again" >>"$RESULTS.unsure"
    mv "$RESULTS.again" "$RESULTS.now"
    while read -r limit file name; do play_again; done <"$RESULTS.now"
    rm -f "$RESULTS.now"
    stage_end
}
play_again() {
    local SECOND=yes seed
    seed=$(sed -n 's/^✖ .*(TEST_SEED=\([0-9]*\)).*/\1/p' "$(output_of "$name").log" | head -n 1)
    [ -z "$seed" ] || local -x TEST_SEED=$seed # a property is played with the seed that failed
    case $file in
    *.mjs) node_suite "$name" "$limit" "$file" ;;
    *) suite "$name" "$limit" "$file" ;;
    esac
}

output_of() { echo "$OUT/$(echo "$1" | tr ' /' '__')"; } # output_of <name>: of a suite, without its ending

sum() { awk -v field="$1" '{ sum += $field } END { print sum + 0 }' "$RESULTS"; } # sum <field of RESULTS>
passed_count() { sum 1; }
failed_count() { sum 2; }

# step <name> <seconds> <command...>: counts as one test; true when it succeeded.
step() {
    local name=$1 limit=$2 began output status=0 skipped=0
    shift 2
    began=$(now_ms) output=$(output_of "$name").log
    run_group "$limit" "$output" "$@" || status=$?
    if [ "$status" = 0 ]; then
        record "$name" 1 0 "$began" "$output"
    else
        record "$name" 0 1 "$began" "$output" "exit $status"
        return 1
    fi
}

# suite <name> <seconds> <command...>: a program that ends with "N passed, N failed". With TWICE=yes a program without arguments that may be
# played again. With DEFER=yes one that ends because it was given no
# address of a store is not counted: status 2, for a second round.
suite() {
    local name=$1 limit=$2 began output status=0 count passed failed why= skipped=0
    shift 2
    began=$(now_ms) output=$(output_of "$name").log
    run_group "$limit" "$output" "$@" || status=$?
    if [ "${DEFER:-no}" = yes ] && grep -aq 'is not set: start the stores' "$output"; then
        return 2
    fi
    count=$(grep -aE '^[0-9]+ passed, [0-9]+ failed$' "$output" | tail -n 1)
    passed=${count%% *} failed=${count#*, } failed=${failed% failed}
    [ "${TWICE:-no}${SECOND:-no}" = yesno ] && ! grep -aqE 'Sanitizer|runtime error:' "$output" && failed && put_off "$name" "$limit" "$1" "$began" "$output" && return
    judge
}

# node_suite <name> <seconds> <file>: with SECOND=yes it is the second time.
node_suite() {
    local name=$1 limit=$2 file=$3 began output tap status=0 passed failed cancelled skipped why= count
    began=$(now_ms) output=$(output_of "$name").log tap=$(output_of "$name").tap
    rm -f "$tap"
    # Without --test: there a file without any test would count as one that passed.
    run_group "$limit" "$output" node --test-reporter=spec --test-reporter-destination=stdout \
        --test-reporter=tap --test-reporter-destination="$tap" "$file" || status=$?
    passed=$(tap_count pass) failed=$(tap_count fail) cancelled=$(tap_count cancelled) skipped=$(tap_count skipped)
    count=$passed
    [ "${skipped:-0}" = 0 ] || why="$skipped skipped"
    [ -z "$passed" ] || failed=$((failed + ${cancelled:-0}))
    [ "${SECOND:-no}" = no ] && failed && put_off "$name" "$limit" "$file" "$began" "$output" && return
    judge
}
tap_count() { sed -n "s/^# $1 \([0-9]*\)$/\1/p" "$tap" 2>/dev/null | tail -n 1; }

failed() { [ -z "$count" ] || [ "$failed" != 0 ] || [ "$status" != 0 ]; } # by what suite or node_suite has read

judge() { # the rest of suite and node_suite
    if [ -z "$count" ]; then
        passed=0 failed=1 why="no count, exit $status"
    elif [ $((passed + failed)) = 0 ]; then
        failed=1 why="no tests"
    elif [ "$status" != 0 ] && [ "$failed" = 0 ]; then
        failed=1 why="exit $status"
    fi
    [ "$status" != 124 ] || why="more than $limit s"
    record "$name" "$passed" "$failed" "$began" "$output" "$why"
    [ "$failed" = 0 ]
}

total() { # the last line; false when anything failed
    local passed failed skipped
    stage_end
    passed=$(passed_count) failed=$(failed_count) skipped=$(sum 3)
    if [ "$failed" != 0 ]; then
        echo "failed suites:"
        awk '$2 > 0' "$RESULTS" | cut -d' ' -f5- | sed 's|^|    |'
    fi
    if [ -s "$RESULTS.unsure" ]; then
        echo "suites that failed at first and were played once more (their first output stands above):"
        cut -d' ' -f3- "$RESULTS.unsure" | sed 's|^|    |'
    fi
    [ "$skipped" = 0 ] || echo "$skipped tests were skipped"
    [ $((passed + failed)) != 0 ] || failed=1
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
