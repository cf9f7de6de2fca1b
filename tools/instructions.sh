#!/bin/sh
# Counts the instructions of folding alerts that nobody tracks, and compares with the count in
# tools/instructions.txt: the API log must cost at most 2 % where it is off. Instructions do not depend on
# how busy a machine is.
set -eu
cd "$(dirname "$0")/.."
[ "$(uname -m)" = x86_64 ] || { echo "the count is one of x86_64" >&2; exit 1; }
command -v valgrind >/dev/null || { echo "valgrind is needed: apt-get install valgrind" >&2; exit 1; }
test=untracked_alerts_for_a_counter_of_instructions
binary=$(cargo test --workspace --locked --no-run 2>&1 | sed -n 's/.*(\(target[^)]*\/worker-[0-9a-f]*\))/\1/p')
echo "counting (about a minute)"
count=$(valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null \
    "$binary" --ignored --exact "fold::tests::$test" 2>&1 | sed -n 's/.*I *refs: *//p' | tr -d ,)
before=$(grep -v '^#' tools/instructions.txt)
[ -n "$count" ] || { echo "nothing was counted" >&2; exit 1; }
echo "$before instructions before, $count now: $((count * 10000 / before)) of 10,000"
[ $((count * 100)) -le $((before * 102)) ]
