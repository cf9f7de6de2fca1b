//! `gander audit verify`: by a running server, in the folder of a stopped one, or in a file.
//!
//! Must not know how a record is judged.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use admin::audit::{Difference, Expected, Verdict, check_lines, compare, noted};
use admin::bootstrap::{checkpoint_key_path, checkpoints_path};
use anyhow::Context;
use runtime::data_folder::DataFolder;
use runtime::journal::checkpoint::{self, Key, Links};
use runtime::journal::{Head, SledRecords};
use runtime::nats::Nats;
use runtime::nats::access::User;
use wire::audit::{hash_from_hex, hex};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::audit_service_client::AuditServiceClient;

use super::commands::VerifyArgs;
use super::{Authorized, Connect, Output, Usage};
use crate::nats_door;
use crate::out::{complain, json, say};
use crate::stored::{self, Broker};

/// The most heads in one question (`VerifyAuditRequest.checkpoints`).
const MAX_HEADS: usize = 10_000;

/// A head as `verify` prints it: SEQUENCE:HASH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted(pub Head);

impl FromStr for Noted {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once(':').and_then(|(sequence, hash)| {
            let sequence = sequence.parse().ok().filter(|sequence| *sequence > 0)?;
            Some(Self(Head { sequence, hash: hash_from_hex(hash)? }))
        });
        parsed.ok_or("must be SEQUENCE:HASH, as `gander audit verify` prints it")
    }
}

/// The audit log is not whole.
#[derive(Debug, thiserror::Error)]
#[error("the audit log is not whole:\n{0}")]
pub struct NotWhole(pub String);

/// Carries it out.
pub async fn run(connect: &Connect, args: &VerifyArgs) -> anyhow::Result<()> {
    let noted = args.expect.map(|noted| noted.0);
    let verdict = match kept(args)? {
        Err(found) => Verdict::from(found),
        Ok(kept) => {
            let expected = kept.clone().and(noted);
            match (&args.file, &args.data) {
                (Some(file), _) => in_file(file, &expected)?,
                (None, Some(data)) => in_folder(data, args, expected).await?,
                (None, None) => return by_server(connect, args.expect, &kept).await,
            }
        }
    };
    match verdict {
        Verdict::Whole(head) => whole(connect.output, head.sequence, &hex(&head.hash)),
        Verdict::Differs(found) => Err(NotWhole(found.to_string()).into()),
    }
}

/// What the checkpoints say that were kept elsewhere.
fn kept(args: &VerifyArgs) -> anyhow::Result<Result<Expected, Difference>> {
    let (Some(file), Some(key)) = (&args.checkpoints, &args.key) else {
        return Ok(Ok(Expected::default()));
    };
    let text = checkpoint::read(file);
    let text = text.with_context(|| format!("cannot read the checkpoints {}", file.display()))?;
    let found = noted(&text, key, Links::Some);
    if found.as_ref().is_ok_and(|found| found.heads().next().is_none()) {
        return Err(Usage("there is no checkpoint in that file").into());
    }
    Ok(found)
}

/// What the checkpoints say that admin keeps in this folder. Without a key it has never made any;
/// where they are in another file, that one is to be said.
fn own(data: &Path, args: &VerifyArgs) -> anyhow::Result<Result<Expected, Difference>> {
    let (key, file) = (checkpoint_key_path(data), checkpoints_path(data));
    if !key.exists() && !file.exists() {
        complain("there are no signed checkpoints: the end of the chain is vouched for by nothing");
        return Ok(Ok(Expected::default()));
    }
    if args.checkpoints.is_some() && !file.exists() {
        return Ok(Ok(Expected::default()));
    }
    let key = Key::open(&key)?;
    let text = checkpoint::read(&file).with_context(|| {
        format!("the checkpoints {} cannot be read: if --checkpoint-file says where they are, say it with --checkpoints, and --key {}", file.display(), key.public())
    })?;
    let written = match checkpoint::parse(&text, key.public(), Links::Whole) {
        Err(broken) if broken.ends => {
            complain(
                "the last checkpoint was not written whole, as a crash leaves it: it is left out",
            );
            &text[..broken.at]
        }
        Ok(_) | Err(_) => &text,
    };
    Ok(noted(written, key.public(), Links::Whole))
}

fn whole(output: Output, sequence: u64, hash: &str) -> anyhow::Result<()> {
    match output {
        Output::Table => {
            say(&format!("whole: {sequence} records; note this head somewhere else:"));
            say(&format!("{sequence}:{hash}"));
        }
        Output::Json => {
            let head = api::AuditHead { sequence, hash: hash.to_owned() };
            say(&json(&head)?);
        }
    }
    Ok(())
}

fn in_file(file: &Path, expected: &Expected) -> anyhow::Result<Verdict> {
    let opened =
        File::open(file).with_context(|| format!("cannot read the export {}", file.display()))?;
    let told = |number| complain(&format!("checked up to record {number}"));
    Ok(check_lines(BufReader::new(opened), expected, told)?)
}

/// Checks what a stopped installation has stored.
async fn in_folder(data: &Path, args: &VerifyArgs, expected: Expected) -> anyhow::Result<Verdict> {
    admin::bootstrap::check_journal(data)?;
    let taken = DataFolder::take(data)?;
    let expected = match own(&taken.path, args)? {
        Ok(own) => expected.with(&own),
        Err(found) => return Ok(found.into()),
    };
    let records = SledRecords::open(&admin::bootstrap::journal_path(&taken.path))?;
    let said = nats_door::said(args.nats_url.as_deref(), args.nats_url_file.as_deref())?;
    let (broker, door) = match said {
        Some(url) => (None, args.login.door(&url, User::Operator)),
        None if stored::has_streams(&taken.path) => {
            let broker = Broker::start(&taken.path, args.nats_server.as_deref(), 0).await?;
            let door = broker.door(User::Operator);
            (Some(broker), door)
        }
        None => return Err(Usage("there are no streams in --data: say --nats-url").into()),
    };
    let nats = Nats::connect(door, "gander-audit-verify").await?;
    let told = |number| complain(&format!("checked {number} records"));
    let verdict = compare(Arc::new(records), &nats, None, &expected, told).await;
    if let Some(broker) = broker {
        broker.server.stop().await?;
    }
    drop(taken);
    Ok(verdict?)
}

/// What was kept may be more than one question holds: then there are some.
async fn by_server(connect: &Connect, noted: Option<Noted>, kept: &Expected) -> anyhow::Result<()> {
    let mut client = AuditServiceClient::new(connect.open().await?);
    let head = |head: Head| api::AuditHead { sequence: head.sequence, hash: hex(&head.hash) };
    let heads: Vec<_> = kept.heads().map(head).collect();
    let mut questions: Vec<_> = heads.chunks(MAX_HEADS).map(<[_]>::to_vec).collect();
    let last = questions.pop().unwrap_or_default();
    let expected = noted.map(|noted| head(noted.0));
    for checkpoints in questions {
        let expected = expected.clone();
        ask(&mut client, connect.output, api::VerifyAuditRequest { expected, checkpoints }).await?;
    }
    let question = api::VerifyAuditRequest { expected, checkpoints: last };
    let head = ask(&mut client, connect.output, question).await?;
    whole(connect.output, head.sequence, &head.hash)
}

async fn ask(
    client: &mut AuditServiceClient<Authorized>,
    output: Output,
    question: api::VerifyAuditRequest,
) -> anyhow::Result<api::AuditHead> {
    let mut answers = client.verify_audit(question).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        if let Some(head) = answer.head {
            return Ok(head);
        }
        if let Some(found) = answer.difference {
            if output == Output::Json {
                say(&json(&found)?);
            }
            return Err(NotWhole(described(&found)).into());
        }
        complain(&format!("checked {} of {} records", answer.checked, answer.total));
    }
    anyhow::bail!("the server ended before there was a result: ask again")
}

fn described(found: &api::AuditDifference) -> String {
    let or = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    format!(
        "record {} in {}: {}\n  expected hash  {}\n  found hash     {}\n  it says        {}",
        found.sequence,
        found.place,
        found.problem,
        or(&found.expected_hash),
        or(&found.found_hash),
        or(&found.says)
    )
}
