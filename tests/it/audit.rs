//! The audit log: what it shows, and that whatever is done to a record is found and named.

use std::path::Path;

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use bytes::Bytes;
use domain::secret::{Kind, Secret};
use e2e::admin::{Admin, filter};
use e2e::events;
use e2e::process::run;
use e2e::rig::{Rig, Role};
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
        let url = self.rig.nats.url();
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

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
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
    let context = events::connect(&stage.rig.nats.url()).await?;
    let good = events::stored(&stage.rig.nats.url(), CONTROL, "gander.control.>").await?;
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
    let table = stage.gander(&["audit", "list", "--team", "Payments", "--include-children"]).await?;
    assert!(table.0 == 0 && table.1.contains("token uptime"), "{table:?}");
    assert!(!table.1.contains("principal.created"), "{table:?}");
    Ok(())
}
