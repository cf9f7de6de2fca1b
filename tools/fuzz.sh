#!/bin/sh
# Runs the fuzz targets, each for FUZZ_SECONDS (60), and prints how often each was executed. Only some
# of them: FUZZ_TARGETS="json key". `sh tools/fuzz.sh build` only builds.
#
# libFuzzer drives them, led by what code an input reaches: the stable compiler puts counters in
# (SanitizerCoverage), a nightly one is not needed. New inputs go to target/fuzz/corpus; what makes a
# target panic, hang or take too much memory is kept in fuzz/corpus, for `make test` to run again.
set -eu
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
seconds=${FUZZ_SECONDS:-60}

c++ --version >/dev/null 2>&1 || {
    echo "fuzz: a C++ compiler is needed for libFuzzer: apt-get install g++" >&2
    exit 1
}
level="-Cllvm-args=-sanitizer-coverage-"
# With --target, build scripts and macros have no counters.
RUSTFLAGS="-Cpasses=sancov-module ${level}level=4 ${level}inline-8bit-counters ${level}pc-table ${level}trace-compares" \
    cargo build --locked --quiet -p fuzz --features linked --bin target --profile fuzz \
    --target "$host" --target-dir target/fuzz
[ "${1:-}" = build ] && exit

program=target/fuzz/$host/fuzz/target
targets=${FUZZ_TARGETS:-$(ls fuzz/corpus)}
failed=0
printf '%-14s %12s %8s %8s %8s\n' target executions /s reached inputs
for target in $targets; do
    mine=target/fuzz/corpus/$target
    log=target/fuzz/$target.log
    mkdir -p "$mine"
    status=0
    FUZZ_TARGET=$target "$program" "$mine" "fuzz/corpus/$target" -max_total_time="$seconds" \
        -timeout=5 -rss_limit_mb=1024 -max_len=16384 -print_final_stats=1 \
        -artifact_prefix="fuzz/corpus/$target/" >"$log" 2>&1 || status=$?
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    reached=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
    printf '%-14s %12s %8s %8s %8s\n' "$target" "${executed:-0}" "${rate:-0}" "${reached:-0}" \
        "$(find "$mine" "fuzz/corpus/$target" -type f | wc -l)"
    if [ "$status" -ne 0 ] || [ "${executed:-0}" -eq 0 ]; then
        failed=1
        echo "fuzz: $target failed, see $log; what did it is in fuzz/corpus/$target:" >&2
        grep -E 'panicked|ERROR|Test unit written' -A1 "$log" >&2 || tail -3 "$log" >&2
    fi
done
exit $failed
