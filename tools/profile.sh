#!/bin/sh
# Shows where processes spend their time while a part of the benchmark runs. Needs perf of Linux, which
# `make setup` does not fetch, and leave to use it (root, or kernel.perf_event_paranoid at most 1).
#
# Usage: profile.sh PART TEXT DELAY PROCESS SECONDS
#   PART     what `bench --only` knows
#   TEXT     once the progress of the benchmark says this
#   DELAY    and so many seconds have passed, begin
#   PROCESS  whose time: what is in its command line
# Example: profile.sh worker OneMatch 10 nats-server 5
set -eu
cd "$(dirname "$0")/.."
part=$1 text=$2 delay=$3 process=$4 seconds=$5
command -v perf >/dev/null || { echo "profile: perf is not installed" >&2; exit 1; }
folder=$(mktemp -d)
trap 'kill "$bench" 2>/dev/null || true; rm -rf "$folder"' EXIT
GANDER_PROGRAM=${GANDER_PROGRAM:-$PWD/target/release/gander} \
    target/release/bench --only "$part" >"$folder/results" 2>"$folder/progress" &
bench=$!
until grep -q "$text" "$folder/progress"; do
    kill -0 "$bench" 2>/dev/null || { cat "$folder/progress" >&2; exit 1; }
    sleep 0.2
done
sleep "$delay"
perf record --quiet -F 499 -g -o "$folder/perf" -p "$(pgrep -d, -f "$process")" -- sleep "$seconds"
echo "with what each calls:"
perf report -i "$folder/perf" --children -g none --sort symbol 2>/dev/null | grep -v '^#' | grep . | head -60
echo "itself alone:"
perf report -i "$folder/perf" --no-children -g none --sort symbol 2>/dev/null | grep -v '^#' | grep . | head -40
