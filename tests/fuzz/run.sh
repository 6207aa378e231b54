#!/bin/bash
# run.sh - runs fuzzers: first what is in the corpus, then SECONDS of new inputs each.
#
#   tests/fuzz/run.sh SECONDS NAME...     NAME: tests/fuzz/fuzz_NAME.c, its seeds in tests/fuzz/corpus/NAME, built by `make fuzzers`
#
# New inputs stay in a copy of the corpus that is gone afterwards; one that fails is kept in build/fuzz/failed, to be added to
# the corpus with the fix. A file tests/fuzz/NAME.dict is used as dictionary.
set -u
cd "$(dirname "$0")/../.." || exit 1
SECONDS_EACH=${1:-}
[[ $SECONDS_EACH =~ ^[0-9]+$ ]] && [ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
shift
FAILED_DIR=$PWD/build/fuzz/failed
WORK=$(mktemp -d) || exit 1
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$FAILED_DIR"
passed=0 failed=0

# fuzz <name> <what> <options...>
fuzz() {
    local name=$1 what=$2
    shift 2
    if "build/fuzz/fuzz_$name" -rss_limit_mb=1024 -timeout=10 -max_len=65536 -artifact_prefix="$FAILED_DIR/$name-" \
        "$@" "$WORK/$name" >"$WORK/$name.log" 2>&1; then
        return 0
    fi
    echo "not ok fuzz $name: $what"
    tail -n 60 "$WORK/$name.log" | sed 's/^/    /'
    return 1
}

one() {
    local name=$1 seeds=tests/fuzz/corpus/$1 dict=()
    [ -x "build/fuzz/fuzz_$name" ] || { echo "not ok fuzz $name: not built (make fuzzers)"; return 1; }
    compgen -G "$seeds/*" >/dev/null || { echo "not ok fuzz $name: $seeds is empty"; return 1; }
    cp -r "$seeds" "$WORK/$name" || return 1
    [ ! -f "tests/fuzz/$name.dict" ] || dict=(-dict="tests/fuzz/$name.dict")
    fuzz "$name" "an input of the corpus" -runs=0 || return 1
    [ "$SECONDS_EACH" = 0 ] || fuzz "$name" "a new input" -max_total_time="$SECONDS_EACH" -print_final_stats=1 "${dict[@]}" || return 1
    echo "ok fuzz $name ($(find "$seeds" -type f | wc -l) seeds, $(sed -n 's/^stat::number_of_executed_units: *//p' "$WORK/$name.log") runs)"
}

for name in "$@"; do
    if one "$name"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
