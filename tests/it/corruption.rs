//! Files whose bytes are not what was written: refused with what to do, or harmless; never silently
//! something else. And whole again after what the runbook says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use e2e::admin::{Admin, filter, payload};
use e2e::alerts::{get, send};
use e2e::dice::Dice;
use e2e::events;
use e2e::process::run;
use e2e::rig::{Rig, Role};
use e2e::wait::{PATIENCE, back_again, eventually};
use http::StatusCode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::environment::variable;
use runtime::journal::{Head, Journal, SledJournal};

use crate::audit::copy;

const PAGE: usize = 4_096;
const RUNBOOK: &str = "docs/broken-files.md";

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    Flip,
    Zeros,
    Cut,
}

const DAMAGES: [Damage; 3] = [Damage::Flip, Damage::Zeros, Damage::Cut];

impl Damage {
    fn name(self) -> &'static str {
        match self {
            Self::Flip => "a bit flipped",
            Self::Zeros => "zeros",
            Self::Cut => "cut off",
        }
    }

    /// Does it at a place in this page of the file.
    fn act(self, path: &Path, page: usize, dice: &mut Dice) -> anyhow::Result<()> {
        let mut bytes = std::fs::read(path)?;
        let end = bytes.len().min((page + 1) * PAGE);
        let at = page * PAGE + dice.below(end - page * PAGE);
        match self {
            Self::Flip => bytes[at] ^= 1 << dice.below(8),
            Self::Zeros => bytes[at..end].fill(0),
            Self::Cut => bytes.truncate(at),
        }
        Ok(std::fs::write(path, bytes)?)
    }
}

/// File, damage, what came of it: how often.
#[derive(Debug, Default)]
struct Table(BTreeMap<(String, &'static str, &'static str), usize>);

impl Table {
    fn count(&mut self, file: &str, damage: Damage, outcome: &'static str) {
        *self.0.entry((file.to_owned(), damage.name(), outcome)).or_default() += 1;
    }

    #[expect(clippy::print_stdout, reason = "the result of a run")]
    fn print(&self) {
        println!("{:<34} {:<14} {:>5}  came to", "file", "damage", "times");
        for ((file, damage, outcome), times) in &self.0 {
            println!("{file:<34} {damage:<14} {times:>5}  {outcome}");
        }
    }
}

/// How many times each page is damaged in each way; more in the long run.
fn rounds() -> usize {
    variable("CORRUPTION_ROUNDS").and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Files below a folder, as paths in it.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            let below = files(&path)?;
            let name = path.file_name().unwrap_or_default();
            found.extend(below.into_iter().map(|below| Path::new(name).join(below)));
        } else {
            found.push(path.file_name().unwrap_or_default().into());
        }
    }
    found.sort();
    Ok(found)
}

/// Records that carry the hash of the one before.
fn chain(count: u32) -> Vec<Bytes> {
    let mut head = Head::default();
    let records = (0..count).map(|n| {
        let record = Bytes::from([&head.hash[..], &n.to_be_bytes().repeat(60)].concat());
        head = head.after(&record);
        record
    });
    records.collect()
}

fn previous(record: &[u8]) -> Option<[u8; 32]> {
    record.get(..32)?.try_into().ok()
}

/// What comes of opening this journal as admin does.
fn open_journal(folder: &Path, good: &[Bytes]) -> Result<&'static str, String> {
    let opened = SledJournal::open(folder);
    let journal = match opened {
        Ok(journal) => journal,
        Err(error) if error.to_string().contains(RUNBOOK) => return Ok("refused"),
        Err(error) => return Err(format!("refused without help: {error}")),
    };
    let read = || -> Result<Vec<Bytes>, runtime::journal::Error> {
        runtime::journal::verify(&journal, previous)?;
        journal.read(0, usize::MAX)
    };
    match read() {
        Ok(read) if read == good => Ok("harmless"),
        Ok(read) if read.is_empty() => Ok("empty: all is read from GANDER_CONTROL"),
        Ok(read) if good.starts_with(&read) => Ok("behind: the rest is read from GANDER_CONTROL"),
        Ok(_) => Err("silently something else".to_owned()),
        Err(error) if error.to_string().contains(RUNBOOK) => Ok("refused"),
        Err(error) => Err(format!("refused without help: {error}")),
    }
}

#[test]
fn a_damaged_journal_is_refused_or_a_true_beginning() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let kept = folder.path().join("kept");
    let good = chain(400);
    let mut journal = SledJournal::open(&kept)?;
    for (n, group) in good.chunks(7).enumerate() {
        journal.append(n as u64 * 7, group)?;
    }
    drop(journal);
    // What sled still writes after it was closed is part of what is copied.
    std::thread::sleep(Duration::from_secs(1));
    let untouched = folder.path().join("untouched");
    copy(&kept, &untouched)?;
    assert_eq!(open_journal(&untouched, &good), Ok("harmless"));
    let mut table = Table::default();
    let mut cases = 0;
    for file in files(&kept)? {
        let pages = kept.join(&file).metadata()?.len().div_ceil(PAGE as u64);
        let name = file.display().to_string();
        let name = if name.contains("snap") { "journal/snap" } else { &format!("journal/{name}") };
        for (damage, page) in DAMAGES.iter().flat_map(|d| (0..pages).map(move |page| (*d, page))) {
            for _ in 0..rounds() {
                cases += 1;
                let damaged = folder.path().join(format!("case-{cases}"));
                copy(&kept, &damaged)?;
                damage.act(&damaged.join(&file), usize::try_from(page)?, &mut Dice::new(cases))?;
                let came_to = open_journal(&damaged, &good);
                let outcome = came_to.map_err(|wrong| {
                    anyhow::anyhow!("{name}, page {page}, {damage:?}, case {cases}: {wrong}")
                })?;
                table.count(name, damage, outcome);
                std::fs::remove_dir_all(&damaged)?;
            }
        }
    }
    table.print();
    assert!(table.0.keys().any(|(_, _, outcome)| *outcome == "refused"), "nothing was broken");
    Ok(())
}

/// What an installation knows, as far as anybody can ask.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    teams: Vec<String>,
    tokens: Vec<String>,
    /// Mapped values and counts of open incidents.
    open: BTreeMap<String, u64>,
    /// What the gateway says to the token that lives, and to the one that was deleted.
    let_in: [u16; 2],
}

/// An installation that is stopped, to be damaged and started.
struct Scene {
    rig: Rig,
    admin: Admin,
    tokens: [String; 2],
    kept: PathBuf,
}

const STREAMS: &str = "nats/store/jetstream/GANDER/streams";

impl Scene {
    /// Twelve incidents that are known, three alerts that nobody has folded.
    async fn make() -> anyhow::Result<Self> {
        let mut rig = Rig::start().await?;
        let admin = rig.first_admin().await?;
        let team = admin.team("Payments").await?;
        let service = admin.service(&team, "Checkout", vec![filter("status")]).await?;
        let dead = admin.token("dead", &service.name).await?;
        let alive = admin.token("alive", &service.name).await?;
        admin.delete_token(&dead).await?;
        let gateway = rig.gateway()?;
        for n in 0..12 {
            let alert = payload("firing", &format!("known {n}"));
            assert_eq!(send(gateway, &alive.secret, alert).await?.status, StatusCode::CREATED);
        }
        runtime::secret_file::write(&rig.folder().join("credential"), &admin.credential)?;
        let line = format!("backup create gander.backup --nats-url {}", rig.nats_url());
        let args: Vec<_> = line.split_whitespace().collect();
        let (code, text) = run(rig.folder(), None, &args).await?;
        anyhow::ensure!(code == 0, "{text}");
        // What is done is purged: then it cannot simply be done again.
        let url = rig.nats_url();
        eventually("alerts that are done to be purged", async || {
            let mut stream =
                events::connect(&url).await.ok()?.get_stream("GANDER_ALERTS").await.ok()?;
            let state = &stream.info().await.ok()?.state;
            (state.first_sequence > state.last_sequence).then_some(())
        })
        .await?;
        rig.kill(Role::Worker(0)).await?;
        for n in 0..3 {
            let alert = payload("firing", &format!("waiting {n}"));
            assert_eq!(send(gateway, &alive.secret, alert).await?.status, StatusCode::ACCEPTED);
        }
        rig.kill(Role::Gateway(0)).await?;
        rig.kill(Role::Admin).await?;
        let kept = rig.folder().join("kept");
        let mut scene = Self { rig, admin, tokens: [alive.secret, dead.secret], kept };
        scene.stop_nats().await?;
        std::fs::create_dir(&scene.kept)?;
        for part in ["data", "nats"] {
            copy(&scene.rig.folder().join(part), &scene.kept.join(part))?;
        }
        Ok(scene)
    }

    async fn stop_nats(&mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.rig.nats.pid() {
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
            self.rig.nats.ended().await?;
        }
        Ok(())
    }

    /// Everything as it was, but for what `damage` does to a folder with `data` and `nats`.
    async fn lay_out(
        &mut self,
        damage: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for role in self.rig.roles() {
            let _ = self.rig.kill(role).await;
        }
        self.stop_nats().await?;
        let folder = self.rig.folder().to_owned();
        for part in ["data", "nats"] {
            std::fs::remove_dir_all(folder.join(part))?;
            copy(&self.kept.join(part), &folder.join(part))?;
        }
        damage(&folder)
    }

    /// Starts all; gives what is known then, or what a role says that does not run.
    async fn start(&mut self) -> anyhow::Result<Result<Known, String>> {
        for role in self.rig.roles() {
            let _ = std::fs::remove_file(self.rig.folder().join(log_of(role)));
        }
        if let Err(error) = back_again(&mut self.rig.nats).await {
            return Ok(Err(format!("nats-server: {error}")));
        }
        for role in self.rig.roles() {
            self.rig.launch(role)?;
            if let Some(says) = self.stands(role).await? {
                return Ok(Err(says));
            }
        }
        self.known().await.map(Ok)
    }

    /// Waits until a role is ready; what it says if it ends, or stays not ready.
    async fn stands(&mut self, role: Role) -> anyhow::Result<Option<String>> {
        let running = self.rig.running(role)?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            if let Ok((status, _)) = get(running.ops, "/readyz").await
                && status.is_success()
            {
                return Ok(None);
            }
            if !running.process.runs() {
                return Ok(Some(running.process.log()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Some(format!("{role:?} is not ready: {}", running.process.log())))
    }

    async fn known(&mut self) -> anyhow::Result<Known> {
        let url = self.rig.nats_url();
        let gateway = self.rig.gateway()?;
        let mut let_in = [0; 2];
        for (token, answer) in self.tokens.iter().zip(&mut let_in) {
            *answer = send(gateway, token, r#"{"status":"none"}"#).await?.status.as_u16();
        }
        // The alert that nobody asked for is behind all that waited.
        let last = last_alert(&url).await?;
        eventually("all alerts to be folded", async || {
            let found = events::stored(&url, "GANDER_INCIDENTS", "gander.checkpoints.*").await;
            let places = found.ok()?.into_iter().map(|found| {
                wire::stored::worker::Checkpoint::decode(&found.payload)
                    .map(|c| c.position.sequence)
            });
            let places = places.collect::<Result<Vec<_>, _>>().ok()?;
            (places.len() == 16 && places.iter().all(|place| *place >= last)).then_some(())
        })
        .await?;
        let admin = Admin::connect(self.rig.grpc(), &self.admin.credential).await?;
        let (mut teams, mut tokens) = (admin.teams().await?, admin.all_tokens().await?);
        teams.sort();
        tokens.sort();
        let open = admin.open_incidents().await?;
        let open = open.into_iter().map(|i| (i.title, i.occurrences)).collect();
        Ok(Known { teams, tokens, open, let_in })
    }

    /// What the worker has told of alerts that are gone.
    async fn gaps(&mut self) -> anyhow::Result<bool> {
        let ops = self.rig.running(Role::Worker(0))?.ops;
        let (_, metrics) = get(ops, "/metrics").await?;
        let line = metrics.lines().find(|line| line.starts_with("gander_worker_input_gaps_total"));
        Ok(line.is_some_and(|line| !line.ends_with(" 0")))
    }

    /// `gander audit verify` by the running server.
    async fn audit(&self) -> anyhow::Result<(i32, String)> {
        let server = format!("http://{}", self.rig.grpc());
        let args = ["audit", "verify", "--server", &server, "--credential-file", "credential"];
        run(self.rig.folder(), None, &args).await
    }
}

fn log_of(role: Role) -> String {
    match role {
        Role::Admin => "admin.log".to_owned(),
        Role::Gateway(n) => format!("gateway-{n}.log"),
        Role::Worker(n) => format!("worker-{n}.log"),
    }
}

async fn last_alert(url: &str) -> anyhow::Result<u64> {
    let mut stream = events::connect(url).await?.get_stream("GANDER_ALERTS").await?;
    Ok(stream.info().await?.state.last_sequence)
}

/// Judges what came of a case: an outcome, or what is wrong with it.
async fn judge(
    scene: &mut Scene,
    whole: &Known,
    came_to: Result<Known, String>,
) -> anyhow::Result<Result<&'static str, String>> {
    let known = match came_to {
        Ok(known) => known,
        Err(says) if says.contains(RUNBOOK) => return Ok(Ok("refused, with what to do")),
        Err(says) if says.contains("nats-server: ") => return Ok(Ok("refused by nats-server")),
        Err(says) => return Ok(Err(format!("refused without help: {says}"))),
    };
    let config = |known: &Known| (known.teams.clone(), known.tokens.clone(), known.let_in);
    if config(&known) != config(whole) {
        return Ok(Err(format!("silently another configuration: {known:?}")));
    }
    if known == *whole {
        return Ok(Ok("harmless"));
    }
    if scene.gaps().await? {
        return Ok(Ok("alerts are gone, and it is told"));
    }
    Ok(Err(format!("silently other incidents: {known:?}")))
}

/// What is damaged how.
#[derive(Clone, Debug)]
struct Case {
    /// The file below the folder of streams.
    file: PathBuf,
    /// What all files of its kind are called.
    name: String,
    damage: Damage,
    page: usize,
}

/// The kind of a file of a stream, if it has any bytes that matter beside those of others.
fn kind(file: &Path) -> Option<&'static str> {
    match file.extension()?.to_str()? {
        "blk" => Some("N.blk"),
        "inf" => Some("meta.inf"),
        "sum" => Some("meta.sum"),
        "db" => Some("index.db or thw.db"),
        _ => None,
    }
}

/// Each page of each file in each way in the long run; else one page of each file.
fn cases(kept: &Path) -> anyhow::Result<Vec<Case>> {
    let long = variable("CORRUPTION_ROUNDS").is_some();
    let mut cases = Vec::new();
    for stream in ["GANDER_CONTROL", "GANDER_ALERTS", "GANDER_INCIDENTS"] {
        for file in files(&kept.join(STREAMS).join(stream))? {
            let file = Path::new(stream).join(file);
            let pages = usize::try_from(kept.join(STREAMS).join(&file).metadata()?.len())?;
            let (Some(kind), pages @ 1..) = (kind(&file), pages.div_ceil(PAGE)) else { continue };
            // What only speeds nats-server up is made anew: one case shows it.
            let few = if long || kind == "N.blk" { DAMAGES.len() } else { 1 };
            for damage in DAMAGES.into_iter().take(few) {
                let one = Dice::new(cases.len() as u64).below(pages);
                let pages = if long { 0..pages } else { one..one + 1 };
                let all = pages.flat_map(|page| (0..rounds()).map(move |_| page));
                let name = format!("{stream}/{kind}");
                let (file, name) = (&file, &name);
                cases.extend(all.map(|page| Case {
                    file: file.clone(),
                    name: name.clone(),
                    damage,
                    page,
                }));
            }
        }
    }
    Ok(cases)
}

#[tokio::test]
async fn damaged_streams_are_refused_or_told_of_or_harmless() -> anyhow::Result<()> {
    let mut scene = Scene::make().await?;
    scene.lay_out(|_| Ok(())).await?;
    let whole = scene.start().await?.map_err(anyhow::Error::msg)?;
    assert_eq!((whole.open.len(), whole.let_in), (15, [202, 401]), "{whole:?}");
    let (mut table, mut wrong) = (Table::default(), Vec::new());
    for (n, case) in cases(&scene.kept)?.iter().enumerate() {
        let Case { file, name, damage, page } = case;
        let path = Path::new(STREAMS).join(file);
        let dice = &mut Dice::new(n as u64);
        scene.lay_out(|folder| damage.act(&folder.join(&path), *page, dice)).await?;
        let came_to = match scene.start().await {
            Ok(came_to) => came_to,
            Err(error) => Err(format!("{error:#}")),
        };
        match judge(&mut scene, &whole, came_to).await? {
            Ok(outcome) => table.count(name, *damage, outcome),
            Err(what) => {
                table.count(name, *damage, "WRONG");
                wrong.push(format!("{n}: {name}, page {page}, {damage:?}: {what}"));
            }
        }
    }
    table.print();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

#[tokio::test]
async fn what_the_runbook_says_makes_it_whole_again() -> anyhow::Result<()> {
    let mut scene = Scene::make().await?;
    scene.lay_out(|_| Ok(())).await?;
    let whole = scene.start().await?.map_err(anyhow::Error::msg)?;
    for remove in ["data/journal", "nats/store/jetstream/GANDER/streams/GANDER_CONTROL"] {
        scene.lay_out(|folder| Ok(std::fs::remove_dir_all(folder.join(remove))?)).await?;
        let known = scene.start().await?.map_err(anyhow::Error::msg)?;
        assert_eq!(known, whole, "{remove}");
        let (code, text) = scene.audit().await?;
        assert_eq!(code, 0, "{text}");
    }
    // What alerts and incidents were shows only in a backup, made before the last alerts came.
    scene
        .lay_out(|folder| {
            std::fs::remove_dir_all(folder.join("data"))?;
            Ok(std::fs::remove_dir_all(folder.join("nats/store"))?)
        })
        .await?;
    back_again(&mut scene.rig.nats).await?;
    let url = scene.rig.nats_url();
    let restore = ["backup", "restore", "gander.backup", "--data", "data", "--secrets", "keep"];
    let args = [&restore[..], &["--nats-url", &url]].concat();
    let (code, text) = run(scene.rig.folder(), None, &args).await?;
    assert_eq!(code, 0, "{text}");
    let known = scene.start().await?.map_err(anyhow::Error::msg)?;
    let open = whole.open.into_iter().filter(|(title, _)| title.contains("known")).collect();
    assert_eq!(known, Known { open, ..whole });
    Ok(())
}
