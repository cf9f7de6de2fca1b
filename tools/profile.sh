#!/bin/sh
# Shows where a process spends its time while a part of the benchmark runs. Needs perf of Linux, which
# `make setup` does not fetch, and leave to use it (root, or kernel.perf_event_paranoid at most 1), and what
# `make bench` has built.
#
# Usage: profile.sh PART TEXT DELAY PROCESS SECONDS
#   PART     what `bench --only` knows
#   TEXT     once the progress of the benchmark says this
#   DELAY    and so many seconds have passed, begin
#   PROCESS  whose time, of those that the benchmark started: what is in its command line
# Example: profile.sh worker OneMatch 10 nats-server 5
set -eu
cd "$(dirname "$0")/.."
[ $# -eq 5 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
part=$1 text=$2 delay=$3 process=$4 seconds=$5
command -v perf >/dev/null || { echo "profile: perf is not installed" >&2; exit 1; }
folder=$(mktemp -d)
bench=
: >"$folder/progress"
# All that it started is in its session; whatever is in its folder it would have removed itself.
end() {
    trap - EXIT
    [ -z "$bench" ] || pkill -KILL -s "$bench" || true
    rm -rf "$folder"
    exit "$1"
}
trap 'end $?' EXIT
trap 'end 130' INT TERM HUP
GANDER_PROGRAM=${GANDER_PROGRAM:-$PWD/target/release/gander} TMPDIR=$folder \
    setsid target/release/bench --only "$part" >"$folder/results" 2>"$folder/progress" &
bench=$!
until grep -q "$text" "$folder/progress"; do
    kill -0 "$bench" 2>/dev/null || { cat "$folder/progress" >&2; end 1; }
    sleep 0.2
done
sleep "$delay"
pids=$(pgrep -d, -s "$bench" -f "$process") || { echo "profile: no process has '$process'" >&2; end 1; }
perf record --quiet -F 499 -g -o "$folder/perf" -p "$pids" -- sleep "$seconds"
echo "with what each calls:"
perf report -i "$folder/perf" --children -g none --sort symbol 2>/dev/null | grep -v '^#' | grep . | head -60
echo "itself alone:"
perf report -i "$folder/perf" --no-children -g none --sort symbol 2>/dev/null | grep -v '^#' | grep . | head -40
