//! The audit log: what it shows, and that whatever is done to a record is found and named.

use std::path::Path;
use std::sync::Arc;

use admin::audit::{Expected, Place, Verdict, compare};
use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use bytes::Bytes;
use domain::secret::{Kind, Secret};
use e2e::admin::{Admin, filter};
use e2e::events;
use e2e::process::run;
use e2e::rig::{Rig, Role};
use e2e::wait::eventually;
use runtime::journal::SledRecords;
use runtime::nats::Nats;
use wire::audit::hex;
use wire::proto::gander::admin::v1 as api;

const CONTROL: &str = "GANDER_CONTROL";

struct Stage {
    rig: Rig,
    admin: Admin,
    token: String,
    secret: String,
}

/// An installation with eight records.
async fn stage() -> anyhow::Result<Stage> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![]).await?;
    let changed = api::Service { filters: vec![filter("status")], ..service.clone() };
    admin.update_service(changed, "filters").await?;
    let token = admin.token("uptime", &service.name).await?;
    admin.replace_secret(&token).await?;
    admin.delete_token(&token).await?;
    runtime::secret_file::write(&rig.folder().join("credential"), &admin.credential)?;
    Ok(Stage { rig, admin, token: token.name, secret: token.secret })
}

impl Stage {
    async fn gander(&self, args: &[&str]) -> anyhow::Result<(i32, String)> {
        let server = format!("http://{}", self.rig.grpc());
        let file = self.rig.folder().join("credential").display().to_string();
        let common = ["--server", &server, "--credential-file", &file];
        run(self.rig.folder(), None, &[args, &common[..]].concat()).await
    }

    /// With admin stopped.
    async fn verify_folder(&self) -> anyhow::Result<(i32, String)> {
        let url = self.rig.nats_url();
        self.gander(&["audit", "verify", "--data", "data", "--nats-url", &url]).await
    }
}

/// The number of the record that is named, and where.
fn named(told: &(i32, String)) -> anyhow::Result<(u64, String)> {
    anyhow::ensure!(told.0 == 1, "{told:?}");
    let line = told.1.lines().find(|line| line.starts_with("record ")).unwrap_or_default();
    let mut words =
        line.trim_start_matches("record ").split(':').next().unwrap_or_default().splitn(3, ' ');
    let number = words.next().unwrap_or_default().parse()?;
    Ok((number, words.nth(1).unwrap_or_default().to_owned()))
}

/// Changes the name in a record, of the same length.
fn renamed(record: &[u8]) -> Vec<u8> {
    let at = record.windows(8).position(|text| text == b"Payments").expect("the team's record");
    let mut changed = record.to_vec();
    changed[at] = b'p';
    changed
}

pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

type Tamper = fn(&sled::Tree) -> sled::Result<()>;

fn get(tree: &sled::Tree, number: u64) -> sled::IVec {
    tree.get(number.to_be_bytes()).expect("readable").expect("there")
}

#[tokio::test]
async fn whatever_is_done_to_a_record_of_the_journal_is_named() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    stage.rig.kill(Role::Admin).await?;
    let whole = stage.verify_folder().await?;
    assert!(whole.0 == 0 && whole.1.contains("whole: 8 records"), "{whole:?}");
    let (journal, kept) = (stage.rig.journal(), stage.rig.folder().join("kept"));
    copy(&journal, &kept)?;
    let changed: Tamper = |tree| tree.insert(3u64.to_be_bytes(), renamed(&get(tree, 3))).map(drop);
    let removed: Tamper = |tree| tree.remove(4u64.to_be_bytes()).map(drop);
    let swapped: Tamper = |tree| {
        let (one, two) = (get(tree, 5), get(tree, 6));
        tree.insert(5u64.to_be_bytes(), two)?;
        tree.insert(6u64.to_be_bytes(), one).map(drop)
    };
    let cut: Tamper = |tree| {
        tree.remove(7u64.to_be_bytes())?;
        tree.remove(8u64.to_be_bytes()).map(drop)
    };
    let emptied: Tamper = |tree| tree.clear();
    for (number, tamper) in [(3, changed), (4, removed), (5, swapped), (7, cut), (1, emptied)] {
        std::fs::remove_dir_all(&journal)?;
        copy(&kept, &journal)?;
        let database = sled::open(&journal)?;
        tamper(&database.open_tree("records")?)?;
        database.flush()?;
        drop(database);
        let told = stage.verify_folder().await?;
        assert_eq!(named(&told)?, (number, "journal".to_owned()), "{told:?}");
        assert!(told.1.contains("expected hash"), "{told:?}");
    }
    Ok(())
}

/// Makes GANDER_CONTROL anew with these messages; an empty one is deleted again.
async fn write(context: &jetstream::Context, messages: &[(String, Bytes)]) -> anyhow::Result<()> {
    context.delete_stream(CONTROL).await?;
    let subjects = vec!["gander.control.>".to_owned()];
    let config = Config { name: CONTROL.to_owned(), subjects, ..Config::default() };
    let stream = context.create_stream(config).await?;
    for (subject, payload) in messages {
        let sequence = context.publish(subject.clone(), payload.clone()).await?.await?.sequence;
        if payload.is_empty() {
            stream.delete_message(sequence).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn whatever_is_done_to_a_record_of_the_stream_is_named() -> anyhow::Result<()> {
    let stage = stage().await?;
    let context = events::connect(&stage.rig.nats_url()).await?;
    let good = events::stored(&stage.rig.nats_url(), CONTROL, "gander.control.>").await?;
    let good: Vec<_> = good.into_iter().map(|m| (m.subject, m.payload)).collect();
    let verify = ["audit", "verify"];
    let whole = stage.gander(&verify).await?;
    assert!(whole.0 == 0 && whole.1.contains("whole: 8 records"), "{whole:?}");
    let head = whole.1.lines().nth(1).unwrap_or_default().to_owned();
    let mut cases = Vec::new();
    let mut changed = good.clone();
    changed[2].1 = renamed(&good[2].1).into();
    cases.push((3, changed));
    let mut removed = good.clone();
    removed[3].1 = Bytes::new();
    cases.push((4, removed));
    let mut swapped = good.clone();
    swapped.swap(4, 5);
    cases.push((5, swapped));
    cases.push((7, good[..6].to_vec()));
    // The commit is good, but what gateways act on is another state.
    let mut revived = good.clone();
    let end = revived[7].1.len();
    let earlier = wire::stored::control::decode_message(&good[6].1)?.1;
    let commit = wire::stored::control::decode_message(&good[7].1)?.0;
    revived[7].1 = wire::stored::control::encode_message(commit, &earlier);
    assert_ne!(revived[7].1.len(), end);
    cases.push((8, revived));
    let mut elsewhere = good.clone();
    elsewhere[7].0 = "gander.control.token.other".to_owned();
    cases.push((8, elsewhere));
    for (number, messages) in cases {
        write(&context, &messages).await?;
        let told = stage.gander(&verify).await?;
        assert_eq!(named(&told)?, (number, CONTROL.to_owned()), "{told:?}");
    }
    write(&context, &good).await?;
    let told = stage.gander(&["audit", "verify", "--expect", &head]).await?;
    assert_eq!(told.0, 0, "{told:?}");
    let other = head.replace("8:", "7:");
    let told = stage.gander(&["audit", "verify", "--expect", &other]).await?;
    assert_eq!(named(&told)?.0, 7, "{told:?}");
    let later = head.replace("8:", "9:");
    let told = stage.gander(&["audit", "verify", "--expect", &later]).await?;
    assert_eq!(named(&told)?.0, 9, "{told:?}");
    Ok(())
}

#[tokio::test]
async fn an_export_is_checked_by_itself() -> anyhow::Result<()> {
    let stage = stage().await?;
    let told = stage.gander(&["audit", "export", "--file", "audit.jsonl"]).await?;
    assert_eq!(told.0, 0, "{told:?}");
    let file = stage.rig.folder().join("audit.jsonl");
    let text = std::fs::read_to_string(&file)?;
    assert_eq!(text.lines().count(), 8);
    let verify = ["audit", "verify", "--file", "audit.jsonl"];
    let whole = stage.gander(&verify).await?;
    assert_eq!(whole.0, 0, "{whole:?}");
    let head = whole.1.lines().nth(1).unwrap_or_default().to_owned();
    assert!(told.1.contains(&head), "{told:?}");
    std::fs::write(&file, text.replace("Payments", "payments"))?;
    assert_eq!(named(&stage.gander(&verify).await?)?, (3, "file".to_owned()));
    let cut: String = text.lines().take(6).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, cut)?;
    assert_eq!(stage.gander(&verify).await?.0, 0, "nothing tells that there was more");
    let told = stage.gander(&[&verify[..], &["--expect", &head]].concat()).await?;
    assert_eq!(named(&told)?.0, 7, "{told:?}");
    let there = stage.gander(&["audit", "export", "--file", "audit.jsonl"]).await?;
    assert_eq!(there, (1, "error: audit.jsonl is there already: name another file\n".to_owned()));
    // A file that begins later says nothing of a record that was noted before.
    let middle = ["audit", "export", "--start-sequence", "4", "--file", "middle.jsonl"];
    assert_eq!(stage.gander(&middle).await?.0, 0);
    let noted = format!("1:{}", "0".repeat(64));
    let told =
        stage.gander(&["audit", "verify", "--file", "middle.jsonl", "--expect", &noted]).await?;
    assert_eq!(named(&told)?, (1, "file".to_owned()), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn who_names_what_is_not_there_is_told_so() -> anyhow::Result<()> {
    let folder = tempfile::TempDir::new()?;
    let nowhere = ["audit", "verify", "--file", "/nope"];
    let (code, text) = run(folder.path(), None, &nowhere).await?;
    assert_eq!(code, 1, "{text}");
    assert!(text.starts_with("error: cannot read the export /nope: No such file"), "{text}");
    std::fs::create_dir(folder.path().join("empty"))?;
    for data in ["empty", "nowhere"] {
        let (code, text) = run(folder.path(), None, &["audit", "verify", "--data", data]).await?;
        let says = "give --data with the folder of admin or gander up\n";
        assert_eq!((code, text), (1, format!("error: there is no journal in {data}: {says}")));
    }
    assert_eq!(std::fs::read_dir(folder.path().join("empty"))?.count(), 0, "nothing is written");
    assert!(!folder.path().join("nowhere").exists());
    Ok(())
}

/// Lets GANDER_CONTROL have this many messages at most; -1 for any number.
async fn limit(stage: &Stage, messages: i64) -> anyhow::Result<()> {
    let context = events::connect(&stage.rig.nats_url()).await?;
    let config = context.get_stream(CONTROL).await?.cached_info().config.clone();
    let discard = if messages < 0 { DiscardPolicy::Old } else { DiscardPolicy::New };
    context.update_stream(Config { max_messages: messages, discard, ..config }).await?;
    Ok(())
}

#[tokio::test]
async fn what_waits_to_be_relayed_is_no_difference() -> anyhow::Result<()> {
    let stage = stage().await?;
    let whole = stage.gander(&["audit", "verify"]).await?;
    let head = whole.1.lines().nth(1).unwrap_or_default().to_owned();
    limit(&stage, 8).await?;
    let admin = stage.admin.clone();
    let waiting = tokio::spawn(async move { admin.team("late").await });
    let told = eventually("the team to be in the journal", async || {
        let told = stage.gander(&["audit", "verify"]).await.ok()?;
        (told.0 != 0).then_some(told)
    });
    let told = told.await?;
    let says = "the first 8 records are whole, but 1 of the journal cannot be stored";
    assert!(told.0 == 6 && told.1.contains(says), "{told:?}");
    // What waits may be the very record that was noted.
    let later = head.replace("8:", "9:");
    let told = stage.gander(&["audit", "verify", "--expect", &later]).await?;
    assert_eq!(told.0, 6, "{told:?}");
    // What is wrong before it is told all the same.
    let other = head.replace("8:", "7:");
    let told = stage.gander(&["audit", "verify", "--expect", &other]).await?;
    assert_eq!(named(&told)?.0, 7, "{told:?}");
    limit(&stage, -1).await?;
    assert!(waiting.await?.is_err(), "it was not answered in time");
    let told = stage.gander(&["audit", "verify"]).await?;
    assert!(told.0 == 0 && told.1.contains("whole: 9 records"), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_record_that_should_be_there_and_is_in_neither_copy_is_missing() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    stage.rig.kill(Role::Admin).await?;
    let nats = Nats::connect(&stage.rig.nats_url(), "test").await?;
    let records = Arc::new(SledRecords::open(&stage.rig.journal())?);
    for upto in [None, Some(7), Some(8)] {
        let verdict = compare(records.clone(), &nats, upto, &Expected::default(), |_| {}).await?;
        let Verdict::Whole(head) = verdict else { anyhow::bail!("{verdict:?}") };
        assert_eq!(head.sequence, upto.unwrap_or(8));
    }
    let Verdict::Differs(found) =
        compare(records, &nats, Some(10), &Expected::default(), |_| {}).await?
    else {
        anyhow::bail!("two records are missing");
    };
    assert_eq!((found.sequence, found.place), (9, Place::Both), "{found}");
    Ok(())
}

/// What the records of the stage say, newest first.
fn check_told(all: &[api::AuditRecord]) {
    let numbers: Vec<_> = all.iter().map(|record| record.sequence).collect();
    assert_eq!(numbers, [8, 7, 6, 5, 4, 3, 2, 1]);
    let kinds: Vec<_> = all.iter().map(|record| record.changes[0].kind.as_str()).collect();
    let expected = [
        "token.deleted",
        "token.secret_replaced",
        "token.created",
        "service.filters_replaced",
        "service.created",
        "team.created",
        "principal.created",
        "bootstrap.issued",
    ];
    assert_eq!(kinds, expected);
    assert_eq!((all[7].actor.as_str(), all[6].actor.as_str()), ("system", "bootstrap"));
    assert_eq!(all[5].actor_display_name, "first");
    assert_eq!(all[0].resource_display_name, "uptime");
    assert_eq!(all[0].changes[0].details[0].old_value.as_deref(), Some("uptime"));
    assert_eq!(all[3].resource, all[4].resource, "the team is known from the record before");
    assert!(all.iter().all(|record| record.record.is_empty()), "where digests are");
    assert!(all.windows(2).all(|two| two[0].previous_hash == two[1].hash));
}

#[tokio::test]
async fn records_say_who_changed_what_and_never_a_secret_or_its_digest() -> anyhow::Result<()> {
    let stage = stage().await?;
    let list = async |request: api::ListAuditRecordsRequest| {
        let page = stage.admin.audit().list_audit_records(request).await?.into_inner();
        anyhow::Ok(page)
    };
    let all = list(api::ListAuditRecordsRequest::default()).await?.audit_records;
    check_told(&all);
    let shown = serde_json::to_string(&all)?;
    let digest = Secret::parse(Kind::Token, &stage.secret)?.digest();
    assert!(!shown.contains(&stage.secret) && !shown.contains(&hex(digest.as_bytes())));
    let team = all[5].resource.clone();
    let resource = |name: &str, include_children| api::ListAuditRecordsRequest {
        resource: name.to_owned(),
        include_children,
        ..Default::default()
    };
    let numbers = async |request| {
        let page = list(request).await?;
        anyhow::Ok(page.audit_records.iter().map(|record| record.sequence).collect::<Vec<_>>())
    };
    assert_eq!(numbers(resource(&team, false)).await?, [3]);
    assert_eq!(numbers(resource(&team, true)).await?, [8, 7, 6, 5, 4, 3]);
    assert_eq!(numbers(resource(&all[4].resource, true)).await?, [8, 7, 6, 5, 4]);
    assert_eq!(numbers(resource(&stage.token, false)).await?, [8, 7, 6]);
    let request =
        api::ListAuditRecordsRequest { kinds: vec!["token".to_owned()], ..Default::default() };
    assert_eq!(numbers(request).await?, [8, 7, 6]);
    let request = api::ListAuditRecordsRequest { actor: "system".to_owned(), ..Default::default() };
    assert_eq!(numbers(request).await?, [1]);
    let request = api::ListAuditRecordsRequest { end_time: all[2].time, ..Default::default() };
    assert_eq!(numbers(request).await?, [5, 4, 3, 2, 1]);
    let mut paged = Vec::new();
    let mut request = api::ListAuditRecordsRequest { page_size: 3, ..Default::default() };
    loop {
        let page = list(request.clone()).await?;
        paged.push(page.audit_records.len());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, [3, 3, 2]);
    let one = api::GetAuditRecordRequest { name: "auditRecords/5".to_owned() };
    assert_eq!(stage.admin.audit().get_audit_record(one).await?.into_inner(), all[3]);
    let none = api::GetAuditRecordRequest { name: "auditRecords/9".to_owned() };
    assert!(stage.admin.audit().get_audit_record(none).await.is_err());
    let table =
        stage.gander(&["audit", "list", "--team", "Payments", "--include-children"]).await?;
    assert!(table.0 == 0 && table.1.contains("token uptime"), "{table:?}");
    assert!(!table.1.contains("principal.created"), "{table:?}");
    Ok(())
}
