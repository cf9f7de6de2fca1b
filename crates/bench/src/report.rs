//! What a run has come to: tables for people, JSON for pictures.
//!
//! Must not know how anything is measured.

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};

use crate::Results;
use crate::again::{Again, Rate};

/// Writes the results; parts that were not measured stay as an earlier run of the same commit on the same
/// machine wrote them.
pub fn write(file: &Path, results: &Results) -> anyhow::Result<()> {
    let mut all: Map<String, Value> = match std::fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).context("the file of results")?,
        Err(_) => Map::new(),
    };
    let Value::Object(new) = serde_json::to_value(results)? else {
        anyhow::bail!("results are an object");
    };
    if !is_same_run(all.get("machine"), new.get("machine")) {
        all.clear();
    }
    all.extend(new);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(file, serde_json::to_string_pretty(&all)? + "\n")?)
}

/// Whether parts of both may stand side by side. A dirty tree is never known to be the same, and no
/// two fsyncs take as long.
fn is_same_run(one: Option<&Value>, other: Option<&Value>) -> bool {
    let about = |machine: Option<&Value>| {
        let mut about = machine?.as_object()?.clone();
        about.remove("fsync_us");
        let is_clean = !about.get("commit")?.as_str()?.ends_with("-dirty");
        is_clean.then_some(about)
    };
    about(one).is_some_and(|machine| Some(machine) == about(other))
}

/// Prints what was measured.
#[expect(clippy::print_stdout, reason = "the result of a run")]
pub fn print(results: &Results) {
    for part in [
        machine(results),
        matcher(results),
        throughput(results),
        worker(results),
        steady(results),
        tokens(results),
        admin(results),
        changes(results),
    ] {
        if !part.is_empty() {
            println!("{part}");
        }
    }
}

fn machine(results: &Results) -> String {
    let about = |machine: &crate::machine::Machine| {
        format!(
            "commit {}, {} x {}, Linux {}, {}, write and fsync {:.0} us\n",
            machine.commit,
            machine.cores,
            machine.processor,
            machine.kernel,
            machine.nats_server,
            machine.fsync_us
        )
    };
    results.machine.as_ref().map(about).unwrap_or_default()
}

fn matcher(results: &Results) -> String {
    let mut text = String::new();
    for row in &results.matcher {
        text += &format!(
            "matcher, {:<11} {:>7} filters, {:>6} B: parse {:>7.2} us, index {:>8.2} us, loop {:>10.1} us = {:>6.0} x; built in {:>6.1} ms, {:>5.1} MB\n",
            row.catalog,
            row.filters,
            row.payload_bytes,
            row.parse_us,
            row.index_us,
            row.loop_us,
            row.loop_us / row.index_us,
            row.build_ms,
            row.memory_bytes as f64 / 1e6,
        );
    }
    for row in &results.updates {
        text += &format!(
            "matcher, {:>7} filters: a change is in force after {:.1} us, a new index after a gap of {:.1} us\n",
            row.filters, row.in_force_us, row.gap_us
        );
    }
    text
}

fn throughput(results: &Results) -> String {
    let mut text = String::new();
    if let Some(name) = results.bare_runtime {
        text += &format!("the bare server runs on tokio's {name} runtime\n");
    }
    for row in &results.throughput {
        text += &format!(
            "accepted, {:<8} {} nats-server {:>5} connections: {:>6.0}/s of {:>6.0}/s bare = {:.2} ({:.2} to {:.2}); us: gateway {:.1} + nats-server {:.1} = {:.1} ({:.1} to {:.1}), bare {:.1}, worker {:.1}, h2load {:.1} (bare {:.1}); idle {:.0} % (bare {:.0} %); lag {:.0}, caught up in {:.1} s; gateway {:.0} MiB\n",
            format!("{:?}", row.kind),
            row.servers,
            row.connections,
            row.accepted,
            row.bare,
            row.ratio,
            row.ratio_range[0],
            row.ratio_range[1],
            row.gateway_us,
            row.nats_us,
            row.gateway_us + row.nats_us,
            row.both_us_range[0],
            row.both_us_range[1],
            row.bare_us,
            row.worker_us,
            row.h2load_us,
            row.bare_h2load_us,
            row.idle * 100.0,
            row.bare_idle * 100.0,
            row.lag,
            row.catch_up_s,
            row.gateway_mib,
        );
    }
    text
}

fn worker(results: &Results) -> String {
    let line = |row: &crate::flow::Row| {
        let mut line = format!(
            "worker alone, {:<10} {:>7.0} alerts/s; us: worker {:.1}, nats-server {:.1}; each alert {:.0} B stored, {:.0} B of what it led to; worker {:.0} MiB, nats-server {:.0} MiB\n",
            format!("{:?}", row.kind),
            row.per_second,
            row.worker_us,
            row.nats_us,
            row.alert_bytes,
            row.result_bytes,
            row.worker_mib,
            row.nats_mib
        );
        if let Some(again) = &row.again {
            line += &stored_again(again);
        }
        line
    };
    results.worker.iter().map(line).collect()
}

fn stored_again(again: &Again) -> String {
    let rate = |rate: &Rate| {
        let Rate { per_second, range: [low, high], nats_us } = rate;
        format!("{per_second:.0} alerts/s ({low:.0} to {high:.0}), nats-server {nats_us:.1} us")
    };
    format!(
        "  its first batches: {:.0} alerts/s, {:.2} of what they come to without a worker\n  \
           without a worker: {}\n  \
           {} bytes of each state: {}\n  \
           {} of the {:.0} bytes of contents of an event and its state: {}\n  \
           these by a user of the account with the streams: {}\n",
        again.worker_per_second,
        again.worker_per_second / again.whole.per_second,
        rate(&again.whole),
        again.cut_bytes,
        rate(&again.states_cut),
        2 * again.cut_bytes,
        again.bytes,
        rate(&again.cut),
        rate(&again.near)
    )
}

fn steady(results: &Results) -> String {
    let Some(steady) = &results.end_to_end else { return String::new() };
    format!(
        "end to end, {} of {} alerts accepted at {}/s, p50 / p99 ms: ack {:.1} / {:.1}, outcome {:.1} / {:.1}, event {:.1} / {:.1}; the generator was {:.1} late\n",
        steady.accepted,
        steady.alerts,
        steady.rate,
        steady.ack_p50_ms,
        steady.ack_p99_ms,
        steady.outcome_p50_ms,
        steady.outcome_p99_ms,
        steady.event_p50_ms,
        steady.event_p99_ms,
        steady.generator_p99_ms,
    )
}

fn tokens(results: &Results) -> String {
    let Some(tokens) = &results.tokens else { return String::new() };
    format!(
        "tokens: {}: check {:.0} ns ({:.0} ns in a thousand; its digest alone {:.0} ns), {:.0} B each\n\
         tokens: journal opened, read and folded in {:.1} s; admin ready after {:.1} s, {:.1} s where it fills the stream; gateway after {:.1} s, {:.0} B each\n",
        tokens.tokens,
        tokens.check_ns[1],
        tokens.check_ns[0],
        tokens.digest_ns,
        tokens.bytes_each,
        tokens.journal_s,
        tokens.admin_s,
        tokens.admin_first_s,
        tokens.gateway_s,
        tokens.gateway_bytes_each,
    )
}

fn admin(results: &Results) -> String {
    let line = |row: &crate::admin::Row| {
        format!("admin, {:>2} clients: {:.0} commands/s\n", row.clients, row.per_second)
    };
    results.admin.iter().map(line).collect()
}

fn changes(results: &Results) -> String {
    let Some(changes) = &results.changes else { return String::new() };
    let others = |of: &crate::changes::Others| {
        format!("{:.1} / {:.1} / {:.1}", of.p50_ms, of.p99_ms, of.longest_ms)
    };
    format!(
        "changes, {} of one filter in {}: in force after {:.1} / {:.1} ms, p50 / p99; other answers one after the other, p50 / p99 / longest ms: {}, {} while nothing is changed\n",
        changes.changes,
        changes.filters,
        changes.in_force_p50_ms,
        changes.in_force_p99_ms,
        others(&changes.changing),
        others(&changes.still),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_other_commits_and_machines_do_not_stay() {
        let machine = |commit: &str, cores: u32, fsync: f64| json!({"commit": commit, "cores": cores, "fsync_us": fsync});
        let check = |one: Value, other: Value, same: bool| {
            assert_eq!(is_same_run(Some(&one), Some(&other)), same, "{one} {other}");
        };
        check(machine("a", 2, 1.0), machine("a", 2, 2.0), true);
        check(machine("a", 2, 1.0), machine("b", 2, 1.0), false);
        check(machine("a", 2, 1.0), machine("a", 4, 1.0), false);
        check(machine("a-dirty", 2, 1.0), machine("a-dirty", 2, 1.0), false);
        assert!(!is_same_run(None, Some(&machine("a", 2, 1.0))) && !is_same_run(None, None));
    }
}
