#!/usr/bin/env python3
"""Writes the tables and the pictures of docs/PERFORMANCE.md from what `make bench` measured.

`make performance-page` runs it. The last run of each kind of machine is kept in docs/performance, so that the
page can be written again; the one with the fastest bare server has the detailed tables. Must not know how
anything is measured.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "target/bench/results.json"
KEPT = ROOT / "docs/performance"
PAGE = ROOT / "docs/PERFORMANCE.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end -->\n"
# What accepted alerts are to come to, of the answers of the bare server.
RATIO = 0.65
# What alerts lead to.
KINDS = {"nothing": "no filter matches", "one-match": "each opens an incident", "ten-matches": "each opens ten", "storm": "repeats of one incident"}
# From here on `gander bench` says that it was late itself.
LATE_MS = 10


def one(rows, **wanted):
    """The only row with these values."""
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    if len(found) != 1:
        sys.exit(f"{len(found)} rows with {wanted}: run all of `make bench`")
    return found[0]


def name(run):
    """What a machine is called on the page."""
    return re.sub(r"\(R\)|Processor", "", run["machine"]["processor"]).strip()


def accepted(run):
    """The row of accepted alerts that has a target."""
    return one(run["throughput"], kind="plain", connections=256, servers=1)


def targets(run):
    """What was aimed at, and what it came to."""
    usual = {"catalog": "usual", "payload_bytes": 1000}
    large = one(run["matcher"], filters=100_000, **usual)
    small = one(run["matcher"], filters=1_000, **usual)
    hostile = one(run["matcher"], catalog="unselective")
    plain = accepted(run)
    worker = {row["kind"]: row for row in run["worker"]}
    commands = {row["clients"]: row["per_second"] for row in run["admin"]}
    tokens, steady = run["tokens"], run["end_to_end"]
    cpu = plain["gateway_us"] + plain["nats_us"]
    update, changes = one(run["updates"], filters=100_000), run["changes"]
    low, high = plain["ratio_range"]
    both = plain.get("both_us_range")
    both = f" ({both[0]:.1f} to {both[1]:.1f})" if both else ""
    all_accepted = steady["accepted"] == steady["alerts"]
    in_time = steady["generator_p99_ms"] <= LATE_MS
    lost = "" if all_accepted else f", {steady['accepted']:,} of {steady['alerts']:,} accepted"
    late = "" if in_time else f", the generator {steady['generator_p99_ms']:.1f} ms late"
    return [
        ("accepted/s at 256 connections ÷ bare axum", f"{plain['ratio']:.2f} ({low:.2f} to {high:.2f})", f"≥ {RATIO}", plain["ratio"] >= RATIO),
        ("processor time of an accepted alert, gateway + nats-server", f"{plain['gateway_us']:.1f} + {plain['nats_us']:.1f} = {cpu:.1f} µs{both}; bare axum {plain['bare_us']:.1f} µs", "≤ 23 µs", cpu <= 23),
        ("one alert, 100,000 filters ÷ 1,000 filters", f"{large['index_us'] / small['index_us']:.2f}", "≤ 1.5", large["index_us"] <= 1.5 * small["index_us"]),
        ("a plain loop ÷ the index, 100,000 filters", f"{large['loop_us'] / large['index_us']:,.0f}", "≥ 1,000", large["loop_us"] >= 1000 * large["index_us"]),
        ("non-selective catalog, for each filter", f"{hostile['index_us'] * 1e3 / hostile['filters']:.0f} ns", "stated", True),
        ("catalog of 100,000 filters: build, memory", f"{large['build_ms'] / 1e3:.2f} s, {large['memory_bytes'] / 1e6:.1f} MB", "≤ 1 s, ≤ 40 MB", large["build_ms"] <= 1e3 and large["memory_bytes"] <= 40e6),
        ("a filter is changed among 100,000: from the command's return to the answer that rests on it, p50 / p99", f"{changes['in_force_p50_ms']:.1f} / {changes['in_force_p99_ms']:.1f} ms", "p99 ≤ 50 ms", changes["in_force_p99_ms"] <= 50),
        ("the same, in the index alone: taking in a change, taking over a new index", f"{update['in_force_us']:.1f} µs, {update['gap_us']:.1f} µs", "≤ 5 ms", max(update["in_force_us"], update["gap_us"]) <= 5_000),
        ("worker, one match for each alert", f"{worker['one-match']['per_second']:,.0f} alerts/s{share(worker['one-match'])}", "≥ 20,000", worker["one-match"]["per_second"] >= 20_000),
        ("worker, storm of one incident", f"{worker['storm']['per_second']:,.0f} alerts/s", "≥ 100,000", worker["storm"]["per_second"] >= 100_000),
        ("check of a token among 1,000,000", f"{tokens['check_ns'][1]:.0f} ns", "≤ 500 ns", tokens["check_ns"][1] <= 500),
        (f"end to end at {steady['rate']:,.0f}/s: outcome p50 / p99", f"{steady['outcome_p50_ms']:.1f} / {steady['outcome_p99_ms']:.1f} ms{lost}{late}", "≤ 8 / 20 ms, all accepted", all_accepted and in_time and steady["outcome_p50_ms"] <= 8 and steady["outcome_p99_ms"] <= 20),
        ("commands/s, one client / 64", f"{commands[1]:,.0f} / {commands[64]:,.0f}", "≥ 300 / 5,000", commands[1] >= 300 and commands[64] >= 5_000),
        ("start to ready with 1,000,000 tokens: gateway, admin", f"{tokens['gateway_s']:.1f} s, {tokens['admin_s']:.1f} s", "≤ 10 s", max(tokens["gateway_s"], tokens["admin_s"]) <= 10),
        ("start of admin to ready with 1,000,000 tokens, where it fills an empty stream", f"{tokens['admin_first_s']:.1f} s", "stated", True),
    ]


def share(row):
    """What a worker comes to of what nats-server stores of its batches without it, where that was measured."""
    again = row.get("again")
    return f", {again['worker_per_second'] / again['whole']['per_second']:.2f} of nats-server without a worker" if again else ""


def table(head, rows):
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines) + "\n"


def machines(runs):
    """On what was measured, and what was aimed at."""
    text = table(
        ["machine", "commit", "cores", "fsync of 4 KiB", "an answer of the bare server", "its runtime", "nats-server", "Linux"],
        [
            (name(run), f"`{m['commit']}`", m["cores"], f"{m['fsync_us']:.0f} µs", f"{accepted(run)['bare_us']:.1f} µs", run["bare_runtime"], m["nats_server"].removeprefix("nats-server: "), m["kernel"])
            for run in runs
            for m in [run["machine"]]
        ],
    )
    words = {True: "", False: " **not met**"}
    columns = [[came + words[bool(met)] for _, came, _, met in targets(run)] for run in runs]
    aims = [(what, aim) for what, _, aim, _ in targets(runs[0])]
    return text + table(["what", "target", *map(name, runs)], [(*aim, *came) for aim, *came in zip(aims, *columns)])


def details(run):
    """Everything else that was measured on a machine."""
    text = f"### On the {name(run)}\n\n"
    kinds = {"plain": "as it is", "tls": "over TLS", "url-token": "token in the URL", "gzip": "gzip"}
    text += (
        "Accepted alerts, 1 KB each and all of them repeats of one incident, beside answers of the bare server. "
        "Times are for each alert or answer, of all nats-servers together:\n\n"
    )
    text += table(
        ["how", "nats-servers", "connections", "accepted/s", "bare/s", "ratio", "gateway µs", "nats-server µs", "worker µs", "h2load µs", "idle", "bare µs", "its h2load µs", "its idle", "not folded at the end", "folded after", "gateway MiB"],
        [
            (kinds[r["kind"]], r["servers"], r["connections"], f"{r['accepted']:,.0f}", f"{r['bare']:,.0f}", f"{r['ratio']:.2f}", f"{r['gateway_us']:.1f}", f"{r['nats_us']:.1f}", f"{r['worker_us']:.1f}", f"{r['h2load_us']:.1f}", f"{r['idle'] * 100:.0f} %", f"{r['bare_us']:.1f}", f"{r['bare_h2load_us']:.1f}", f"{r['bare_idle'] * 100:.0f} %", f"{r['lag']:,.0f}", f"{r['catch_up_s']:.1f} s", f"{r['gateway_mib']:.0f}")
            for r in run["throughput"]
        ],
    )
    text += bounds(run)
    text += "One alert against a catalog; the times of the index and of a plain loop over all filters are without parsing:\n\n"
    text += table(
        ["catalog", "filters", "payload", "parse µs", "index µs", "loop µs", "times faster", "build ms", "memory MB"],
        [
            (r["catalog"], f"{r['filters']:,}", f"{r['payload_bytes']:,} B", f"{r['parse_us']:.1f}", f"{r['index_us']:.2f}", f"{r['loop_us']:,.1f}", f"{r['loop_us'] / r['index_us']:,.0f}", f"{r['build_ms']:.1f}", f"{r['memory_bytes'] / 1e6:.1f}")
            for r in run["matcher"]
        ],
    )
    text += "The worker alone, from a full stream:\n\n"
    text += table(
        ["alerts", "alerts/s", "worker µs", "nats-server µs"],
        [
            # Where nothing matches the worker tells how far it is once a second: too seldom for a rate.
            (KINDS[r["kind"]], "" if r["kind"] == "nothing" else f"{r['per_second']:,.0f}", f"{r['worker_us']:.1f}", f"{r['nats_us']:.1f}")
            for r in run["worker"]
        ],
    )
    steady = run["end_to_end"]
    text += f"{steady['rate']:,} alerts a second, evenly, and how long after it was due to be sent each had its answer or event:\n\n"
    text += table(
        ["what comes", "p50 ms", "p99 ms"],
        [
            (what, f"{steady[f'{key}_p50_ms']:.1f}", f"{steady[f'{key}_p99_ms']:.1f}")
            for what, key in (("the answer that it is stored", "ack"), ("the answer that says what became of it", "outcome"), ("the event at a subscriber", "event"))
        ],
    )
    tokens = run["tokens"]
    # A run from before memory was measured read the journal in the process that had just written it.
    replay = f"{tokens['journal_s']:.1f} s" if "alert_bytes" in run["worker"][0] else "not measured"
    text += f"{tokens['tokens']:,} tokens:\n\n"
    text += table(
        ["digest ns", "check among 1,000 ns", "check among all ns", "view B each", "gateway B each", "journal opened, read and folded"],
        [(f"{tokens['digest_ns']:.0f}", f"{tokens['check_ns'][0]:.0f}", f"{tokens['check_ns'][1]:.0f}", f"{tokens['bytes_each']:.0f}", f"{tokens['gateway_bytes_each']:.0f}", replay)],
    )
    changes = run["changes"]
    text += f"{changes['changes']:,} changes of one filter among {changes['filters']:,}, and another sender's answers, one after the other:\n\n"
    text += table(
        ["answers", "p50 ms", "p99 ms", "longest ms"],
        [
            (name, f"{r['p50_ms']:.1f}", f"{r['p99_ms']:.1f}", f"{r['longest_ms']:.1f}")
            for name, r in (("while nothing is changed", changes["still"]), ("while the filter is changed", changes["changing"]))
        ],
    )
    return text


def bounds(run):
    """What follows from the table of accepted alerts."""
    plain = accepted(run)
    incident = one(run["worker"], kind="one-match")
    cores = run["machine"]["cores"]
    each = sum(plain[name] for name in ("gateway_us", "nats_us", "worker_us", "h2load_us"))
    wanted = RATIO * plain["bare"]
    return (
        f"At 256 connections gateway, nats-server, worker and h2load take {each:.1f} µs for an alert together, which at "
        f"{plain['accepted']:,.0f}/s is {each * plain['accepted'] / 1e6:.2f} of {cores} cores; {plain['idle'] * 100:.0f} % of them were idle. "
        f"For a ratio of {RATIO} all four may take {cores * 1e6 / wanted:.1f} µs, with nothing idle; or, had the others cores of their own, the gateway "
        f"{1e6 / wanted:.1f} µs of its one core: with its {plain['gateway_us']:.1f} µs it would come to {1e6 / plain['gateway_us'] / plain['bare']:.2f}. "
        f"One core of nats-server is {1e6 / plain['nats_us']:,.0f} accepted repeats a second, or {1e6 / incident['nats_us']:,.0f} alerts, once they are "
        f"stored, that each open an incident.\n\n"
    )


def stored(run):
    """What alerts take on a disk and in memory."""
    text = (
        f"What a full stream of alerts, 500 in a message, leaves in streams as they count it, for each copy, and memory in the end, on the {name(run)}; "
        "repeats that come one by one have an event each:\n\n"
    )
    return text + table(
        ["alerts", "how many", "each in GANDER_ALERTS", "of each in GANDER_INCIDENTS", "worker", "nats-server"],
        [
            (KINDS[r["kind"]], f"{r['alerts']:,}", f"{r['alert_bytes']:,.0f} B", f"{r['result_bytes']:,.0f} B", f"{r['worker_mib']:,.0f} MiB", f"{r['nats_mib']:,.0f} MiB")
            for r in run["worker"]
        ],
    )


def again(run):
    """A worker's first batches without the worker."""
    again = one(run["worker"], kind="one-match")["again"]
    text = (
        f"On the {name(run)}, the first {again['batches']} batches of a worker where each alert opens an incident, and what they come to when somebody "
        f"who folds nothing sends them once more, one after the other; an event and its state have {again['bytes']:,.0f} bytes of content:\n\n"
    )
    rates = (("as they are", "whole"), (f"{again['cut_bytes']} bytes of each state", "states_cut"), (f"{again['cut_bytes']} bytes of each content", "cut"), ("these, by a user of the account with the streams", "near"))
    return text + table(
        ["batches", "alerts/s", "least to most", "nats-server µs"],
        [("by the worker", f"{again['worker_per_second']:,.0f}", "", "")]
        + [
            (words, f"{again[key]['per_second']:,.0f}", f"{again[key]['range'][0]:,.0f} to {again[key]['range'][1]:,.0f}", f"{again[key]['nats_us']:.1f}")
            for words, key in rates
        ],
    )


def pictures(run, folder):
    """Cost over filters, throughput over connections, both with logarithmic axes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "gander"
    import matplotlib.pyplot as plot

    def draw(name, what, across, lines):
        figure, axes = plot.subplots(figsize=(7, 4))
        for label, points in lines:
            axes.loglog(*zip(*points), marker="o", label=label)
        axes.set(xlabel=across, ylabel=what)
        axes.grid(which="both", alpha=0.3)
        axes.legend()
        figure.tight_layout()
        figure.savefig(folder / name, metadata={"Date": None})
        plot.close(figure)

    def cost(size, which):
        rows = [r for r in run["matcher"] if r["catalog"] == "usual" and r["payload_bytes"] == size]
        return [(r["filters"], r[which]) for r in rows]

    draw(
        "matcher.svg",
        "microseconds for one alert",
        "filters",
        [
            ("plain loop, 1 KB", cost(1000, "loop_us")),
            ("plain loop, 64 KB", cost(64000, "loop_us")),
            ("index, 64 KB", cost(64000, "index_us")),
            ("index, 1 KB", cost(1000, "index_us")),
        ],
    )
    plain = [r for r in run["throughput"] if r["kind"] == "plain" and r["servers"] == 1]
    draw(
        "throughput.svg",
        "a second",
        "connections",
        [
            ("bare server, answers", [(r["connections"], r["bare"]) for r in plain]),
            ("accepted alerts, each fsynced", [(r["connections"], r["accepted"]) for r in plain]),
        ],
    )


def files():
    """The last run of each kind of machine, by its file."""
    runs = {file: file.read_text() for file in KEPT.glob("*.json")}
    if MEASURED.exists():
        text = MEASURED.read_text()
        run = json.loads(text)
        slug = re.sub(r"[^a-z0-9]+", "-", f"{name(run)} {run['machine']['cores']} cores".lower())
        runs[KEPT / f"{slug}.json"] = text
    return runs


def main():
    texts = files()
    # The one with the fastest bare server first.
    try:
        runs = sorted(map(json.loads, texts.values()), key=lambda run: -accepted(run)["bare"])
        # A run from before these were measured has none of them.
        newest = [run for run in runs if "alert_bytes" in run["worker"][0]]
        written = machines(runs) + details(runs[0])
        written += "### Batches of a worker, and what is kept\n\n" + "".join(map(again, newest)) + "".join(map(stored, newest[:1]))
        before, rest = PAGE.read_text().split(BEGIN)
        _, after = rest.split(END)
    except KeyError as missing:
        sys.exit(f"a run has no {missing}: run all of `make bench`, or remove {MEASURED.relative_to(ROOT)}; nothing is changed")
    for file, text in texts.items():
        file.write_text(text)
    PAGE.write_text(before + BEGIN + written + END + after)
    pictures(runs[0], KEPT)


main()
