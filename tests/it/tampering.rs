//! What somebody who can write every copy of the audit log may do to it: with signed checkpoints that
//! were kept elsewhere, all of it is found.

use std::collections::BTreeMap;

use admin::audit::{Expected, Verdict, check_lines, noted};
use async_nats::jetstream::Context;
use bytes::Bytes;
use domain::commit::Commit;
use domain::time::Timestamp;
use e2e::admin::filter;
use e2e::dice::Dice;
use e2e::process::run;
use e2e::rig::{Rig, Role};
use nix::sys::signal::Signal;
use runtime::journal::checkpoint::{self, Key, Links};
use runtime::journal::{Head, Records, SledRecords, hash};
use wire::audit::exported;
use wire::stored::control::{decode_commit, encode_commit};

const SEED: u64 = 8;
const DRAWS: usize = 300;

/// The records of an installation, the text of its checkpoints, and who signed them.
struct Scene {
    rig: Rig,
    records: Vec<Bytes>,
    checkpoints: String,
    key: Key,
}

/// A journal of real commands, closed.
async fn scene() -> anyhow::Result<Scene> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    for n in 0..3 {
        let team = admin.team(&format!("team {n}")).await?;
        let service = admin.service(&team, "one", vec![filter("status")]).await?;
        let token = admin.token("t", &service.name).await?;
        admin.replace_secret(&token).await?;
        admin.delete_token(&token).await?;
    }
    runtime::secret_file::write(&rig.folder().join("credential"), &admin.credential)?;
    let process = &mut rig.running(Role::Admin)?.process;
    process.signal(Signal::SIGTERM)?;
    assert_eq!(process.ended().await?, Some(0));
    let looked_at = rig.folder().join("looked-at");
    crate::audit::copy(&rig.journal(), &looked_at)?;
    let records = SledRecords::open(&looked_at)?.scan(0, 1_000)?;
    let records = records.into_iter().map(|(_, record)| record).collect();
    let data = rig.folder().join("data");
    let checkpoints = checkpoint::read(&data.join("checkpoints"))?;
    let key = Key::open(&data.join("checkpoint-key"))?;
    Ok(Scene { rig, records, checkpoints, key })
}

/// What `gander audit verify` says of an export of these records. Whoever rewrites them exports them
/// as well as can be.
fn verdict(records: &[Bytes], expected: &Expected) -> Option<Head> {
    // A file may begin later, and its beginning says so; the whole begins with the first.
    if records.first().is_some_and(|first| decode_commit(first).is_ok_and(|one| one.sequence != 1))
    {
        return None;
    }
    let mut lines = Vec::new();
    for record in records {
        let line = exported(record, hash(record)).ok()?;
        lines.extend(serde_json::to_vec(&line).ok()?);
        lines.push(b'\n');
    }
    match check_lines(&lines[..], expected, |_| {}) {
        Ok(Verdict::Whole(head)) => Some(head),
        Ok(Verdict::Differs(_)) | Err(_) => None,
    }
}

/// The same commits with numbers and hashes that fit.
fn chained(commits: impl IntoIterator<Item = Commit>) -> Vec<Bytes> {
    let mut head = Head::default();
    let chain = commits.into_iter().map(|commit| {
        let (sequence, previous_hash) = (head.sequence + 1, head.hash);
        let record = encode_commit(&Commit { sequence, previous_hash, ..commit });
        head = head.after(&record);
        record
    });
    chain.collect()
}

/// Kinds of edits, with how often each was done, found by the chain alone, and with checkpoints.
#[derive(Default)]
struct Found(BTreeMap<&'static str, [usize; 3]>);

impl Found {
    fn count(&mut self, kind: &'static str, alone: bool, with_checkpoints: bool) {
        let counts = self.0.entry(kind).or_default();
        counts[0] += 1;
        counts[1] += usize::from(alone);
        counts[2] += usize::from(with_checkpoints);
    }

    fn edit(&mut self, kind: &'static str, records: &[Bytes], kept: &Expected) {
        let judge = |expected| verdict(records, expected).is_none();
        let (alone, with_checkpoints) = (judge(&Expected::default()), judge(kept));
        self.count(kind, alone, with_checkpoints);
    }
}

fn edit_records(found: &mut Found, good: &[Bytes], kept: &Expected) {
    let mut dice = Dice::new(SEED);
    for _ in 0..DRAWS {
        let mut records = good.to_vec();
        let n = dice.below(records.len());
        let mut record = records[n].to_vec();
        let at = dice.below(record.len());
        record[at] ^= 1 << dice.below(8);
        records[n] = record.into();
        found.edit("a bit of a record", &records, kept);
    }
    for n in 0..good.len() {
        let mut records = good.to_vec();
        records.remove(n);
        let kind = if n + 1 < good.len() { "a record removed" } else { "the end cut off" };
        found.edit(kind, &records, kept);
        found.edit("the end cut off", &good[..n], kept);
        for other in n + 1..good.len() {
            let mut records = good.to_vec();
            records.swap(n, other);
            found.edit("two records exchanged", &records, kept);
        }
    }
}

fn rewrite(found: &mut Found, good: &[Bytes], kept: &Expected) -> anyhow::Result<()> {
    let commits = good.iter().map(decode_commit).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(chained(commits.clone()), good, "the forger knows how it is done");
    for n in 0..commits.len() {
        let mut later = commits.clone();
        later[n].at = Timestamp::from_micros(later[n].at.as_micros() + 1);
        found.edit("rewritten from a record on", &chained(later), kept);
        let mut fewer = commits.clone();
        fewer.remove(n);
        found.edit("rewritten without a record", &chained(fewer), kept);
        let mut more = commits.clone();
        more.insert(n, commits[n].clone());
        found.edit("rewritten with one more", &chained(more), kept);
    }
    Ok(())
}

/// Edits of the file of admin itself: what was left to it must be whole, and reach the end.
fn edit_checkpoints(found: &mut Found, scene: &Scene) {
    let text = &scene.checkpoints;
    let mut edit = |kind, text: &str| {
        let expected = noted(text, scene.key.public(), Links::Whole);
        let whole = expected.ok().and_then(|expected| verdict(&scene.records, &expected));
        found.count(kind, false, whole.is_none());
    };
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        edit("a bit of a checkpoint", &String::from_utf8_lossy(&bytes));
        if text.is_char_boundary(at) {
            edit("checkpoints cut off", &text[..at]);
        }
    }
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    for n in 0..lines.len() {
        edit("a line of checkpoints removed", &[&lines[..n], &lines[n + 1..]].concat().concat());
    }
    let notes: Vec<_> = lines.chunks(8).map(|lines| lines.concat()).collect();
    for n in 0..notes.len() {
        edit("a checkpoint removed", &[&notes[..n], &notes[n + 1..]].concat().concat());
        let mut swapped = notes.clone();
        swapped.swap(n, (n + 1) % notes.len());
        edit("two checkpoints exchanged", &swapped.concat());
    }
}

#[tokio::test]
async fn every_edit_of_the_audit_log_is_found() -> anyhow::Result<()> {
    let scene = scene().await?;
    let kept = noted(&scene.checkpoints, scene.key.public(), Links::Whole);
    let kept = kept.map_err(|found| anyhow::anyhow!("{found}"))?;
    let head = verdict(&scene.records, &kept);
    assert_eq!(head.map(|head| head.sequence), Some(scene.records.len() as u64), "untouched");
    let mut found = Found::default();
    edit_records(&mut found, &scene.records, &kept);
    rewrite(&mut found, &scene.records, &kept)?;
    edit_checkpoints(&mut found, &scene);
    println!("{:<32} {:>6} {:>12} {:>17}", "edit", "times", "chain alone", "with checkpoints");
    for (kind, [times, alone, with_checkpoints]) in &found.0 {
        println!("{kind:<32} {times:>6} {alone:>12} {with_checkpoints:>17}");
    }
    for (kind, [times, _, with_checkpoints]) in &found.0 {
        assert_eq!(times, with_checkpoints, "{kind}");
    }
    let rewritten = found.0["rewritten from a record on"];
    assert_eq!(rewritten[1], 0, "the chain alone cannot know");
    Ok(())
}

/// Runs the program on the server and the folder of a scene.
async fn gander(scene: &Scene, line: &str) -> anyhow::Result<(i32, String)> {
    let server = format!("http://{}", scene.rig.grpc());
    let mut args: Vec<_> = line.split_whitespace().collect();
    args.extend(["--server", &server, "--credential-file", "credential"]);
    run(scene.rig.folder(), None, &args).await
}

/// Makes GANDER_CONTROL anew, as it was made, with these messages.
async fn cut_stream(context: &Context, messages: &[(String, Bytes)]) -> anyhow::Result<()> {
    let config = context.get_stream("GANDER_CONTROL").await?.cached_info().config.clone();
    context.delete_stream("GANDER_CONTROL").await?;
    context.create_stream(config).await?;
    for (subject, payload) in messages {
        context.publish(subject.clone(), payload.clone()).await?.await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_history_that_was_cut_is_found_by_verify_and_refused_by_admin() -> anyhow::Result<()> {
    let mut scene = scene().await?;
    scene.rig.restart(Role::Admin).await?;
    let (code, note) = gander(&scene, "audit checkpoint").await?;
    assert!(code == 0 && scene.checkpoints.ends_with(&note), "{note}");
    let (_, key) = gander(&scene, "audit checkpoint --public-key").await?;
    assert_eq!(key.trim(), scene.key.public().to_string());
    std::fs::write(scene.rig.folder().join("kept"), &note)?;
    let kept = format!("audit verify --checkpoints kept --key {}", key.trim());
    let (code, text) = gander(&scene, &kept).await?;
    assert!(code == 0, "{text}");
    // Whoever can write journal and stream cuts both, and the file of admin, too.
    scene.rig.kill(Role::Admin).await?;
    let short = scene.records.len() - 2;
    let database = sled::open(scene.rig.journal())?;
    let (records, meta) = (database.open_tree("records")?, database.open_tree("meta")?);
    for n in short + 1..=scene.records.len() {
        records.remove((n as u64).to_be_bytes())?;
    }
    let head = [&(short as u64).to_be_bytes()[..], &hash(&scene.records[short - 1])].concat();
    meta.insert("head", head)?;
    database.flush()?;
    drop((records, meta, database));
    let url = scene.rig.nats_url();
    let context = e2e::events::connect(&url).await?;
    let good = e2e::events::stored(&url, "GANDER_CONTROL", "gander.control.>").await?;
    let good: Vec<_> = good.into_iter().map(|m| (m.subject, m.payload)).collect();
    cut_stream(&context, &good[..short]).await?;
    let folder = format!("--data data --nats-url {url}");
    let (code, text) = gander(&scene, &format!("audit verify {folder}")).await?;
    assert!(code == 1 && text.contains(&format!("record {} ", short + 1)), "{text}");
    scene.rig.launch(Role::Admin)?;
    let admin = scene.rig.running(Role::Admin)?;
    assert_eq!(admin.process.ended().await?, Some(1));
    let says = admin.process.log();
    assert!(says.contains("was signed and is missing"), "{says}");
    let notes = scene.checkpoints.split_inclusive("\n\n").collect::<Vec<_>>();
    std::fs::write(scene.rig.folder().join("data/checkpoints"), notes[..2 * short].concat())?;
    let (code, text) = gander(&scene, &format!("audit verify {folder}")).await?;
    assert_eq!(code, 0, "with all three of a host, nothing there can tell: {text}");
    let (code, text) = gander(&scene, &kept.replace("verify", &format!("verify {folder}"))).await?;
    assert!(code == 1 && text.contains("it is missing"), "{text}");
    Ok(())
}
