#!/bin/sh
# Counts the instructions of hot functions and compares them with tools/instructions.txt: at most 5 % more,
# of the fold of alerts that nobody tracks 2 %, which is what the API log may cost where it is off.
# Instructions do not depend on how busy a machine is. RECORD=1 writes the file anew.
set -eu
cd "$(dirname "$0")/.."
[ "$(uname -m)" = x86_64 ] || { echo "the counts are of x86_64" >&2; exit 1; }

instructions() { # PROGRAM ARGUMENT...
    VALGRIND_LIB=target/tools/valgrind/libexec target/tools/valgrind/valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null "$@" 2>&1 |
        sed -n 's/.*I *refs: *//p' | tr -d ,
}

# What is made before the first round is not counted.
hot() { # NAME ROUNDS
    echo $(($(instructions target/debug/bench count "$1" --rounds "$2") - $(instructions target/debug/bench count "$1" --rounds 0)))
}

fold() {
    binary=$(cargo test --workspace --locked --no-run 2>&1 | sed -n 's/.*(\(target[^)]*\/worker-[0-9a-f]*\))/\1/p')
    instructions "$binary" --ignored --exact fold::tests::untracked_alerts_for_a_counter_of_instructions
}

counts() {
    echo "fold $(fold)"
    echo "match $(hot match 300)"
    echo "token $(hot token 20000)"
    echo "batch $(hot batch 60)"
}

echo "counting (about three minutes)"
now=$(counts)
if [ -n "${RECORD:-}" ]; then
    head=$(grep '^#' tools/instructions.txt)
    printf '%s\n%s\n' "$head" "$now" >tools/instructions.txt
fi
echo "$now" | {
    worse=0
    while read -r name count; do
        before=$(sed -n "s/^$name //p" tools/instructions.txt)
        echo "$name: ${before:-none} instructions before, $count now: $((count * 1000 / before)) of 1,000"
        limit=105
        [ "$name" != fold ] || limit=102
        [ $((count * 100)) -le $((before * limit)) ] || worse=1
    done
    [ $worse = 0 ] || { echo "that is too many: see tools/instructions.txt" >&2; exit 1; }
}
