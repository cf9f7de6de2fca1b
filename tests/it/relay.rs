//! Commits on their way to GANDER_CONTROL: singly and in batches, through crashes, and how many a
//! second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use admin::audit::{Expected, Verdict, compare};
use anyhow::Context;
use async_nats::jetstream::stream::Config;
use bytes::Bytes;
use e2e::admin::{Admin, request_id};
use e2e::events::{Stored, connect, stored};
use e2e::process::run;
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::{PATIENCE, back_again, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::journal::SledRecords;
use runtime::nats::Nats;
use runtime::nats::batch::{BATCH_COMMIT, BATCH_ID, Message};
use runtime::nats::publish::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use wire::proto::gander::admin::v1 as api;
use wire::subject;

const CLIENTS: usize = 64;
/// The bootstrap credential and the first principal.
const FIRST: usize = 2;
const CONTROL: &str = subject::CONTROL_STREAM;
/// Commands that are done between two crashes.
const PROGRESS: usize = 150;
const DEADLINE: Duration = Duration::from_secs(10);

/// Teams that clients make at the same time, each its own.
async fn make(rig: &Rig, credential: &str, name: &str) -> anyhow::Result<Vec<String>> {
    let admin = Admin::connect(rig.grpc(), credential).await?;
    let mut set = JoinSet::new();
    for n in 0..CLIENTS {
        let (admin, name) = (admin.clone(), format!("{name} {n}"));
        set.spawn(async move { Ok(admin.team(&name).await?.display_name) });
    }
    set.join_all().await.into_iter().collect()
}

async fn control(rig: &Rig) -> anyhow::Result<Vec<Stored>> {
    stored(&rig.nats_url(), CONTROL, subject::CONTROL_ALL).await
}

/// The messages of a batch, by its id, once they are judged: each batch begins with its fence, ends with
/// its commit and lies in one piece. What else there is has its own fence.
fn batches(control: &[Stored]) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for (n, message) in control.iter().enumerate() {
        assert_eq!(message.sequence, n as u64 + 1);
        let id = |message: &Stored| message.headers.get(BATCH_ID).cloned();
        let own = id(message);
        let begins = own.is_none() || n == 0 || id(&control[n - 1]) != own;
        let fence = message.headers.get("Nats-Expected-Last-Sequence");
        assert_eq!(fence, begins.then(|| n.to_string()).as_ref());
        if let Some(id_) = own {
            assert!(!begins || !found.contains_key(&id_), "{id_} is in two pieces");
            let ends = control.get(n + 1).is_none_or(|next| id(next).as_ref() != Some(&id_));
            assert_eq!(message.headers.contains_key(BATCH_COMMIT), ends);
            *found.entry(id_).or_default() += 1;
        }
    }
    found
}

/// With admin stopped: journal and stream say the same; gives how much that is.
async fn whole(rig: &Rig) -> anyhow::Result<u64> {
    let nats = Nats::connect(&rig.nats_url(), "test").await?;
    nats.bounds(CONTROL).await?;
    let records = Arc::new(SledRecords::open(&rig.journal())?);
    let verdict = compare(records, &nats, None, &Expected::default(), |_| {}).await?;
    let Verdict::Whole(head) = verdict else { anyhow::bail!("{verdict:?}") };
    Ok(head.sequence)
}

async fn gander(rig: &Rig, line: &str) -> anyhow::Result<String> {
    let args: Vec<_> = line.split_whitespace().collect();
    let (code, text) = run(rig.folder(), None, &args).await?;
    anyhow::ensure!(code == 0, "{line}: {text}");
    Ok(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_changes_at_a_time_are_batches_and_a_backup_of_them_is_restored() -> anyhow::Result<()>
{
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let mut made = make(&rig, &admin.credential, "one").await?;
    made.extend(make(&rig, &admin.credential, "two").await?);
    made.sort();
    let mut teams = admin.teams().await?;
    teams.sort();
    assert_eq!(teams, made);
    let control = control(&rig).await?;
    let found = batches(&control);
    assert!(found.values().all(|count| *count >= 8) && !found.is_empty(), "{found:?}");
    runtime::secret_file::write(&rig.folder().join("credential"), &admin.credential)?;
    let online =
        format!("audit verify --server http://{} --credential-file credential", rig.grpc());
    assert!(gander(&rig, &online).await?.contains("whole:"));
    gander(&rig, &format!("backup create all.backup --nats-url {}", rig.nats_url())).await?;
    rig.kill(Role::Admin).await?;
    assert_eq!(whole(&rig).await?, control.len() as u64);

    let tools = e2e::tools::tool("nats-server")?.display().to_string();
    let restore =
        format!("backup restore all.backup --data new --secrets keep --nats-server {tools}");
    gander(&rig, &restore).await?;
    let verify = format!("audit verify --data new --nats-server {tools}");
    assert!(gander(&rig, &verify).await?.contains("whole:"));
    Ok(())
}

/// A client that makes a team after the other, each until it is made, until it is told to stop.
async fn persist(
    n: usize,
    server: std::net::SocketAddr,
    credential: String,
    done: watch::Sender<usize>,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<Vec<String>> {
    let mut made = Vec::new();
    while !*stop.borrow() {
        let display_name = format!("team {n} {}", made.len());
        let team = Some(api::Team { display_name: display_name.clone(), ..api::Team::default() });
        let request = api::CreateTeamRequest { team, request_id: request_id() };
        let begun = Instant::now();
        loop {
            let called = async {
                let admin = Admin::connect(server, &credential).await?;
                anyhow::Ok(admin.catalog().create_team(request.clone()).await?)
            };
            let answer = timeout(DEADLINE, called).await;
            if matches!(answer, Ok(Ok(_))) {
                break;
            }
            anyhow::ensure!(begun.elapsed() < 6 * DEADLINE, "{display_name}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        made.push(display_name);
        done.send_modify(|done| *done += 1);
    }
    Ok(made)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_under_many_changes_lose_none_and_store_none_twice() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let (done, seen) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let mut set = JoinSet::new();
    for n in 0..CLIENTS {
        let (credential, done) = (admin.credential.clone(), done.clone());
        set.spawn(persist(n, rig.grpc(), credential, done, stopped.clone()));
    }
    for round in 0..6 {
        let before = *seen.borrow();
        let more = async || (*seen.borrow() >= before + PROGRESS).then_some(());
        eventually("commands between crashes", more).await?;
        if round % 3 != 1 {
            rig.nats.kill().await?;
        }
        if round % 3 != 0 {
            rig.kill(Role::Admin).await?;
        }
        if round % 3 != 1 {
            back_again(&mut rig.nats).await?;
        }
        if round % 3 != 0 {
            rig.restart(Role::Admin).await?;
        }
    }
    stop.send_replace(true);
    let mut made = Vec::new();
    while let Some(one) = timeout(6 * DEADLINE, set.join_next()).await.context("an end")? {
        made.extend(one??);
    }
    made.sort();
    let mut teams = Admin::connect(rig.grpc(), &admin.credential).await?.teams().await?;
    teams.sort();
    assert_eq!(teams, made, "each once");
    rig.unharmed()?;
    rig.kill(Role::Admin).await?;
    let control = control(&rig).await?;
    assert!(!batches(&control).is_empty());
    assert_eq!(whole(&rig).await?, control.len() as u64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_takes_no_batches_gets_one_after_the_other() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    make(&rig, &admin.credential, "one").await?;
    for role in rig.roles() {
        rig.kill(role).await?;
    }
    let ours = connect(&rig.nats_url()).await?;
    let now = ours.get_stream(CONTROL).await?.cached_info().config.clone();
    assert!(now.allow_atomic_publish);
    ours.delete_stream(CONTROL).await?;
    // As a build before has made it.
    let before = Config { allow_atomic_publish: false, ..now.clone() };
    ours.create_stream(before).await?;
    for role in rig.roles() {
        rig.restart(role).await?;
    }
    make(&rig, &admin.credential, "two").await?;
    let control_ = control(&rig).await?;
    assert_eq!((batches(&control_), control_.len()), (BTreeMap::new(), 2 * CLIENTS + FIRST));
    assert!(rig.running(Role::Admin)?.process.log().contains("takes no atomic batches"));

    // The operator lets it take batches; what it is refilled with is some, too.
    ours.update_stream(now.clone()).await?;
    rig.kill(Role::Admin).await?;
    rig.restart(Role::Admin).await?;
    make(&rig, &admin.credential, "three").await?;
    assert!(!batches(&control(&rig).await?).is_empty());
    rig.kill(Role::Admin).await?;
    assert_eq!(whole(&rig).await?, (3 * CLIENTS + FIRST) as u64);
    for role in [Role::Gateway(0), Role::Worker(0)] {
        rig.kill(role).await?;
    }
    ours.delete_stream(CONTROL).await?;
    for role in rig.roles() {
        rig.restart(role).await?;
    }
    let refilled = batches(&control(&rig).await?);
    assert_eq!(refilled.values().collect::<Vec<_>>(), [&(3 * CLIENTS + FIRST)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_as_a_batch_goes_one_by_one_until_batches_are_taken() -> anyhow::Result<()>
{
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let ours = connect(&rig.nats_url()).await?;
    let taking = ours.get_stream(CONTROL).await?.cached_info().config.clone();
    // Admin has seen at its start that it takes them.
    ours.update_stream(Config { allow_atomic_publish: false, ..taking.clone() }).await?;
    make(&rig, &admin.credential, "one").await?;
    let singly = control(&rig).await?;
    assert_eq!((batches(&singly), singly.len()), (BTreeMap::new(), CLIENTS + FIRST));
    ours.update_stream(taking).await?;
    make(&rig, &admin.credential, "two").await?;
    assert!(!batches(&control(&rig).await?).is_empty());
    assert!(rig.running(Role::Admin)?.process.log().contains("commits are not relayed yet"));
    rig.kill(Role::Admin).await?;
    assert_eq!(whole(&rig).await?, (2 * CLIENTS + FIRST) as u64);
    Ok(())
}

fn some(count: u8) -> Vec<Message> {
    let one = |n| Message {
        subject: format!("gander.control.team.{n}"),
        headers: vec![],
        payload: Bytes::from(vec![n]),
        expect: None,
    };
    (0..count).map(one).collect()
}

/// What `nats-server` promises for the relay.
async fn fences_hold(cluster: bool) -> anyhow::Result<()> {
    let mut rig = Rig::planned(Plan { cluster, ..Plan::default() }).await?;
    for role in rig.roles() {
        rig.kill(role).await?;
    }
    let nats = Nats::connect(&rig.nats_url(), "test").await?;
    let (_, last) = nats.bounds(CONTROL).await?;
    let messages = some(10);
    let send =
        async |after: u64, id: &str| nats.publish_batch_after(after, id, &messages, DEADLINE).await;
    for wrong in [last + 1, last - 1] {
        let refused = send(wrong, &format!("wrong {wrong}")).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    }
    assert_eq!(nats.bounds(CONTROL).await?.1, last, "nothing of it is stored");
    let (one, twin) = tokio::join!(send(last, "one"), send(last, "twin"));
    let stored = [&one, &twin].into_iter().filter(|sent| **sent == Ok(last + 1)).count();
    let refused = |sent: &Result<u64, Error>| matches!(sent, Err(Error::Conflict(_)));
    assert!(stored == 1 && (refused(&one) || refused(&twin)), "{one:?} {twin:?}");
    assert_eq!(nats.bounds(CONTROL).await?.1, last + 10);
    assert_eq!(send(last + 10, "next").await, Ok(last + 11));
    Ok(())
}

/// The client tells of a connection some time after it is there, which must not look as if it was lost. On
/// one thread the first request is always under way by then.
#[tokio::test(flavor = "current_thread")]
async fn what_a_connection_is_asked_first_is_answered() -> anyhow::Result<()> {
    let rig = only_nats().await?;
    let url = rig.nats_url();
    let mut last = Nats::connect(&url, "test").await?.bounds(CONTROL).await?.1;
    for n in 0..10 {
        let nats = Nats::connect(&url, "test").await?;
        let sent = nats.publish_batch_after(last, &n.to_string(), &some(10), DEADLINE).await;
        assert_eq!(sent, Ok(last + 1), "connection {n}");
        last += 10;
    }
    Ok(())
}

#[tokio::test]
async fn who_sends_as_the_connection_is_lost_is_told_so_once_it_is_back() -> anyhow::Result<()> {
    let mut rig = only_nats().await?;
    let nats = Nats::connect(&rig.nats_url(), "test").await?;
    let (_, last) = nats.bounds(CONTROL).await?;
    let server = i32::try_from(rig.nats.pid().context("no nats-server")?)?;
    kill(Pid::from_raw(server), Signal::SIGSTOP)?;
    // Long, so that it is not this which ends the waiting.
    let deadline = PATIENCE * 4;
    let sending = async move { nats.publish_batch_after(last, "lost", &some(10), deadline).await };
    let sending = tokio::spawn(sending);
    tokio::task::yield_now().await;
    rig.nats.kill().await?;
    back_again(&mut rig.nats).await?;
    let sent = timeout(PATIENCE, sending).await.context("it is not told")??;
    assert_eq!(sent, Err(Error::Lost));
    Ok(())
}

/// A rig whose other processes are gone.
async fn only_nats() -> anyhow::Result<Rig> {
    let mut rig = Rig::start().await?;
    for role in rig.roles() {
        rig.kill(role).await?;
    }
    Ok(rig)
}

#[tokio::test]
async fn a_batch_is_stored_only_behind_what_it_follows() -> anyhow::Result<()> {
    fences_hold(false).await
}

#[tokio::test]
async fn a_batch_is_stored_only_behind_what_it_follows_in_a_cluster() -> anyhow::Result<()> {
    fences_hold(true).await
}
