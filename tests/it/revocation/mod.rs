//! A token that was put out is let in by no gateway once the call has returned: under load ([`trials`]),
//! and with gateways that stand still, are cut off, or whose clock jumps (`docs/revocation.md`).
//!
//! `make revocation` has TRIALS (1,000), and writes what they have come to ([`record`]).

pub mod record;
mod trials;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use domain::id::AlertId;
use domain::lease::{PATIENCE, RUN_OUT};
use e2e::admin::{Admin, request_id};
use e2e::alerts::{Answer, Sender};
use e2e::clock::Jumping;
use e2e::proxy::{Mode, Proxy};
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::eventually;
use e2e::{alerts, events};
use futures::future::join_all;
use http::StatusCode;
use nix::sys::signal::Signal;
use runtime::clock::{Clock, SystemClock};
use runtime::nats::{Nats, Start};
use tokio::time::Instant;
use tonic_types::StatusExt;
use wire::proto::gander::admin::v1 as api;
use wire::subject;

/// How far the time of day may be corrected while a test measures with it.
const SLEWED: Duration = Duration::from_millis(20);
/// How late a call may be on a machine that has other things to do.
const LATE: Duration = Duration::from_millis(1_400);
const SECOND: Role = Role::Gateway(1);

/// Nothing stands between the requests and the tokens.
fn unlimited(gateways: usize) -> Plan {
    let limits = ["--rate-limit-token", "0", "--rate-limit-refused", "0"];
    let gateway_args = limits.map(str::to_owned).to_vec();
    Plan { gateways, gateway_args, ..Plan::default() }
}

fn addresses(rig: &mut Rig) -> anyhow::Result<[SocketAddr; 2]> {
    Ok([rig.gateway()?, rig.running(SECOND)?.address])
}

/// A gateway that cannot say what it acts on, and what becomes of a call and of requests to it.
struct Silence {
    rig: Rig,
    admin: Admin,
    sender: Sender,
    gateways: [SocketAddr; 2],
    lives: api::Token,
}

impl Silence {
    async fn of(mut rig: Rig) -> anyhow::Result<Self> {
        let admin = rig.first_admin().await?;
        let gateways = addresses(&mut rig)?;
        let lives = admin.token("lives", "").await?;
        Ok(Self { rig, admin, sender: Sender::default(), gateways, lives })
    }

    /// Sends a signal to the second gateway.
    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.rig.gateways[1].as_ref().context("it is stopped")?.process.signal(signal)
    }

    /// What lies between the second gateway and the broker.
    fn link(&self) -> anyhow::Result<&Proxy> {
        Ok(&self.rig.links.as_ref().context("it is planned")?.gateways[1])
    }

    async fn send(&self, gateway: usize, token: &api::Token) -> anyhow::Result<Answer> {
        self.sender.send(self.gateways[gateway], &token.secret, "{}").await
    }

    /// A token that both gateways let in.
    async fn token(&self, name: &str) -> anyhow::Result<api::Token> {
        let token = self.admin.token(name, "").await?;
        for gateway in 0..2 {
            assert_eq!(self.send(gateway, &token).await?.status, StatusCode::ACCEPTED);
        }
        Ok(token)
    }

    /// How long ago the lease of the second gateway was stored, while the first goes on renewing its
    /// own: those that were stored before it are of gateways that were killed.
    async fn since_the_last_renewal(&self) -> anyhow::Result<Duration> {
        let now = SystemClock.now();
        let nats = Nats::connect(&self.rig.nats_url(), "leases").await?;
        let (stream, start) = (subject::LEASES_STREAM, Start::LastOfEachSubject);
        let entries = nats.read_all(stream, subject::LEASES_ALL, start).await?;
        let leases = entries.iter().filter(|entry| entry.subject != subject::LEASES_MARK);
        let mut ages: Vec<_> =
            leases.map(|entry| now.as_micros() - entry.stored_at.as_micros()).collect();
        ages.sort_unstable();
        Ok(Duration::from_micros(u64::try_from(*ages.get(1).context("a lease")?)?))
    }

    /// Revokes a token while the second gateway is silent: the call returns once its lease has run
    /// out, and not before.
    #[expect(clippy::print_stdout, reason = "what is measured is told")]
    async fn revoke(&self, token: &api::Token) -> anyhow::Result<()> {
        self.admin.delete_token(token).await?;
        let waited = self.since_the_last_renewal().await?;
        println!("the call returned {waited:?} after the last renewal");
        assert!(waited >= RUN_OUT - SLEWED, "returned {waited:?} after the last renewal");
        assert!(waited <= RUN_OUT + LATE, "returned {waited:?} after the last renewal");
        assert_eq!(self.send(0, token).await?.status, StatusCode::UNAUTHORIZED);
        Ok(())
    }

    async fn serves_again(&self) -> anyhow::Result<()> {
        eventually("the gateway to serve again", async || {
            let answer = self.send(1, &self.lives).await.ok()?;
            (answer.status == StatusCode::ACCEPTED).then_some(())
        })
        .await
    }
}

fn assert_refused(answer: &Answer) {
    let refused = [
        (StatusCode::UNAUTHORIZED, "INVALID_TOKEN"),
        (StatusCode::SERVICE_UNAVAILABLE, "TOKENS_STALE"),
    ];
    assert!(
        refused.contains(&(answer.status, answer.code())),
        "{} {}",
        answer.status,
        answer.code()
    );
}

#[tokio::test]
async fn a_gateway_that_stands_still_is_waited_for_until_its_lease_has_run_out()
-> anyhow::Result<()> {
    let stage = Silence::of(Rig::planned(unlimited(2)).await?).await?;
    for n in 0..2 {
        let token = stage.token(&format!("token {n}")).await?;
        stage.signal(Signal::SIGSTOP)?;
        stage.revoke(&token).await?;
        // These begin now; the kernel takes them, and the gateway reads them first of all.
        let sends = (0..50).map(async |_| stage.send(1, &token).await);
        let mut waiting = Box::pin(join_all(sends));
        let _ = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
        stage.signal(Signal::SIGCONT)?;
        for answer in waiting.await {
            assert_refused(&answer?);
        }
        stage.serves_again().await?;
        assert_eq!(stage.send(1, &token).await?.status, StatusCode::UNAUTHORIZED);
    }
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_goes_on_in_time_is_not_waited_for_any_longer() -> anyhow::Result<()> {
    let stage = Silence::of(Rig::planned(unlimited(2)).await?).await?;
    let token = stage.token("token").await?;
    stage.signal(Signal::SIGSTOP)?;
    let mut revoking = Box::pin(stage.admin.delete_token(&token));
    let early = tokio::time::timeout(Duration::from_millis(1_000), &mut revoking).await;
    assert!(early.is_err(), "returned while the gateway could have served");
    stage.signal(Signal::SIGCONT)?;
    revoking.await?;
    for _ in 0..20 {
        assert_refused(&stage.send(1, &token).await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_is_cut_off_lets_nobody_in_and_serves_once_it_is_back() -> anyhow::Result<()>
{
    let plan = Plan { proxies: true, ..unlimited(2) };
    let rig = Rig::planned(plan).await?;
    let stage = Silence::of(rig).await?;
    for n in 0..2 {
        let token = stage.token(&format!("token {n}")).await?;
        stage.link()?.set(Mode::BlackHole);
        stage.revoke(&token).await?;
        for _ in 0..20 {
            let answer = stage.send(1, &token).await?;
            assert_eq!(answer.code(), "TOKENS_STALE", "{}", answer.status);
            assert_eq!(stage.send(1, &stage.lives).await?.code(), "TOKENS_STALE");
        }
        // Renewals and changes of the meantime come late.
        stage.link()?.set(Mode::Pass);
        for _ in 0..20 {
            assert_refused(&stage.send(1, &token).await?);
        }
        stage.serves_again().await?;
        assert_eq!(stage.send(1, &token).await?.status, StatusCode::UNAUTHORIZED);
    }
    Ok(())
}

#[tokio::test]
async fn a_time_of_day_that_jumps_changes_nothing() -> anyhow::Result<()> {
    let mut rig = Rig::planned(unlimited(2)).await?;
    let clocks =
        [Jumping::new(rig.folder(), "admin-clock")?, Jumping::new(rig.folder(), "gateway-clock")?];
    for (role, clock) in [Role::Admin, SECOND].into_iter().zip(&clocks) {
        rig.run_program(Some(clock.program.clone()));
        rig.kill(role).await?;
        rig.restart(role).await?;
    }
    let stage = Silence::of(rig).await?;
    let jumps = [("+0", "+1h"), ("+0", "-1h"), ("+1h", "-1h"), ("-1h", "+1h")];
    for (n, (admin, gateway)) in jumps.into_iter().enumerate() {
        let token = stage.token(&format!("token {n}")).await?;
        stage.signal(Signal::SIGSTOP)?;
        clocks[0].set(admin)?;
        clocks[1].set(gateway)?;
        stage.revoke(&token).await?;
        stage.signal(Signal::SIGCONT)?;
        for _ in 0..10 {
            assert_refused(&stage.send(1, &token).await?);
        }
        stage.serves_again().await?;
        if gateway == "+1h" {
            let id = AlertId::parse(stage.send(1, &stage.lives).await?.id())?;
            assert!(hour_ahead(millis(id)), "the clock of the gateway did not jump");
        }
        if admin == "+1h" {
            let now = stage.admin.status().await?.time.context("a time")?.seconds;
            assert!(hour_ahead(now * 1_000), "the clock of admin did not jump");
        }
        // And while nobody stands still.
        let token = stage.token(&format!("quick {n}")).await?;
        clocks[1].set(admin)?;
        stage.admin.delete_token(&token).await?;
        for gateway in 0..2 {
            assert_refused(&stage.send(gateway, &token).await?);
        }
    }
    Ok(())
}

/// The time with which an id begins, in milliseconds.
fn millis(id: AlertId) -> i64 {
    id.as_bytes()[..6].iter().fold(0, |time, byte| time << 8 | i64::from(*byte))
}

fn hour_ahead(millis: i64) -> bool {
    const MINUTES: i64 = 50;
    millis > SystemClock.now().as_micros() / 1_000 + MINUTES * 60_000
}

#[tokio::test]
async fn a_call_that_admin_did_not_survive_waits_again_and_succeeds() -> anyhow::Result<()> {
    let mut stage = Silence::of(Rig::planned(unlimited(2)).await?).await?;
    let token = stage.token("token").await?;
    let name = token.name.clone();
    let request = api::DeleteTokenRequest { name, request_id: request_id(), ..Default::default() };
    stage.signal(Signal::SIGSTOP)?;
    let url = stage.rig.nats_url();
    let commits = async || {
        anyhow::Ok(events::stored(&url, "GANDER_CONTROL", "gander.control.>").await?.len())
    };
    let before = commits().await?;
    let (admin, first) = (stage.admin.clone(), request.clone());
    let asked = tokio::spawn(async move { admin.tokens().delete_token(first).await });
    eventually("the commit", async || (commits().await.ok()? > before).then_some(())).await?;
    stage.rig.kill(Role::Admin).await?;
    ensure!(asked.await?.is_err(), "the call returned before the lease has run out");
    stage.rig.restart(Role::Admin).await?;
    let admin = Admin::connect(stage.rig.grpc(), &stage.admin.credential).await?;
    admin.tokens().delete_token(request).await?;
    assert_eq!(commits().await?, before + 1, "it is carried out once");
    assert_eq!(stage.send(0, &token).await?.status, StatusCode::UNAUTHORIZED);
    stage.signal(Signal::SIGCONT)?;
    for _ in 0..20 {
        assert_refused(&stage.send(1, &token).await?);
    }
    Ok(())
}

#[tokio::test]
async fn where_leases_cannot_be_written_the_call_is_pending_and_gateways_are_named()
-> anyhow::Result<()> {
    let mut stage = Silence::of(Rig::planned(unlimited(2)).await?).await?;
    let token = stage.token("token").await?;
    events::connect(&stage.rig.nats_url()).await?.delete_stream("KV_GANDER_LEASES").await?;
    let name = token.name.clone();
    let request = api::DeleteTokenRequest { name, request_id: request_id(), ..Default::default() };
    let called = Instant::now();
    let status = stage.admin.tokens().delete_token(request.clone()).await;
    let status = status.err().context("confirmed by nobody")?;
    assert!(called.elapsed() >= PATIENCE && called.elapsed() <= PATIENCE + LATE);
    let info = status.get_details_error_info().context("a reason")?;
    assert_eq!(info.reason, "PROPAGATION_PENDING");
    assert_eq!(info.metadata["gateways"].split(',').count(), 2, "{info:?}");
    for gateway in 0..2 {
        assert_eq!(stage.send(gateway, &stage.lives).await?.code(), "TOKENS_STALE");
    }
    // Whoever starts makes the bucket anew.
    stage.rig.kill(Role::Admin).await?;
    stage.rig.restart(Role::Admin).await?;
    let admin = Admin::connect(stage.rig.grpc(), &stage.admin.credential).await?;
    admin.tokens().delete_token(request).await?;
    for gateway in 0..2 {
        assert_refused(&stage.send(gateway, &token).await?);
    }
    stage.serves_again().await
}

#[tokio::test]
async fn nobody_waits_for_a_gateway_that_has_stopped_in_order() -> anyhow::Result<()> {
    let mut stage = Silence::of(Rig::planned(unlimited(2)).await?).await?;
    let token = stage.token("token").await?;
    let second = stage.rig.running(SECOND)?;
    second.process.signal(Signal::SIGTERM)?;
    assert_eq!(second.process.ended().await?, Some(0));
    let called = Instant::now();
    stage.admin.delete_token(&token).await?;
    assert!(called.elapsed() < RUN_OUT / 2, "waited {:?}", called.elapsed());
    let ops = stage.rig.running(Role::Gateway(0))?.ops;
    let (_, metrics) = alerts::get(ops, "/metrics").await?;
    let stored = "gander_gateway_lease_renewals_total{result=\"stored\"}";
    ensure!(metrics.contains(stored), "{metrics}");
    Ok(())
}
