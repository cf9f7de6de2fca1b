//! The real nats-server as a child process, for one machine and for tests.
//!
//! It dies with its parent. Must not know what is stored in it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval_at, timeout};

use crate::nats;
use crate::random::{Random, SystemRandom};

/// The place where `make setup` puts it, from the project's folder.
pub const TOOLS_PATH: &str = "target/tools/nats-server";
/// A large store takes nats-server a while: after a kill it reads what it has not noted down.
const START_DEADLINE: Duration = Duration::from_mins(5);
const LOG: &str = "nats.log";
/// So often it is told that it is still being opened.
pub const START_NOTE: Duration = Duration::from_secs(10);
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// Where ports are picked: below those that the kernel gives, where nobody has said otherwise, to
/// connections that somebody opens. One of them could be gone again between the look and the start of
/// nats-server. As many as divide 65,536, so that counting on beyond it leaves none out.
pub const FREE_PORTS: Range<u16> = 20_000..28_192;

/// Is told, each [`START_NOTE`], for how long the store is being opened.
pub type StillOpening = fn(Duration);

/// Why there is no nats-server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is nowhere.
    #[error(
        "nats-server 2.15 or newer is not found: say --nats-server PATH or run `make setup`; looked at {0}"
    )]
    NotFound(String),
    /// The one given is too old.
    #[error("{0} is nats-server {1}: 2.15 or newer is required")]
    TooOld(PathBuf, String),
    /// It does not start.
    #[error("nats-server does not start: {0}")]
    Start(String),
    /// A file or process operation failed.
    #[error("nats-server: {0}")]
    Io(#[from] io::Error),
}

/// Finds the program: the path given, else the first recent one in the tools folder of the build that this
/// process is from, and the folders of `search_path`. The current folder is not looked at: whoever can write
/// there would choose what is run.
///
/// # Errors
/// It is nowhere, or the one given is too old.
pub fn find(given: Option<&Path>, search_path: Option<&str>) -> Result<PathBuf, Error> {
    if let Some(path) = given {
        return match version(path) {
            None => Err(Error::NotFound(path.display().to_string())),
            Some(found) if nats::is_recent(&found) => Ok(path.to_owned()),
            Some(found) => Err(Error::TooOld(path.to_owned(), found)),
        };
    }
    let folders = search_path.unwrap_or_default().split(':').filter(|folder| !folder.is_empty());
    let mut places = Vec::from_iter(std::env::current_exe().ok().and_then(|exe| of_build(&exe)));
    let absolute = folders.map(Path::new).filter(|folder| folder.is_absolute());
    places.extend(absolute.map(|folder| folder.join("nats-server")));
    let recent = |place: &&PathBuf| version(place).is_some_and(|found| nats::is_recent(&found));
    let found = places.iter().find(recent);
    found.cloned().ok_or_else(|| Error::NotFound(format!("{TOOLS_PATH} of a build, and PATH")))
}

/// Where `make setup` puts it beside the build that this executable is in; none where it is in no build.
fn of_build(exe: &Path) -> Option<PathBuf> {
    let target = exe.ancestors().find(|folder| folder.ends_with("target"))?;
    Some(target.parent()?.join(TOOLS_PATH))
}

/// What the program says of itself; none if it is no nats-server.
fn version(program: &Path) -> Option<String> {
    let output = std::process::Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim().strip_prefix("nats-server: v").map(str::to_owned)
}

/// A running nats-server. Dropped, it is killed.
#[derive(Debug)]
pub struct NatsServer {
    program: PathBuf,
    directory: PathBuf,
    template: String,
    address: SocketAddr,
    monitor: SocketAddr,
    still_opening: StillOpening,
    child: Child,
}

impl NatsServer {
    /// Starts it with its store and configuration in this directory; a port of 0 picks one. The
    /// template is the configuration with `{{address}}`, `{{monitor}}` and `{{store}}` to be
    /// filled in.
    ///
    /// # Errors
    /// It does not start within 5 minutes.
    pub async fn start(
        program: &Path,
        directory: &Path,
        template: &str,
        port: u16,
        still_opening: StillOpening,
    ) -> Result<Self, Error> {
        fs::create_dir_all(directory)?;
        let port = if port == 0 { free_port(0)? } else { port };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let monitor = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(port)?));
        let addresses = (address, monitor);
        let child = spawn(program, directory, template, addresses, still_opening).await?;
        let (program, directory) = (program.to_owned(), directory.to_owned());
        let template = template.to_owned();
        Ok(Self { program, directory, template, address, monitor, still_opening, child })
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Where its monitoring endpoint is.
    #[must_use]
    pub fn monitor_url(&self) -> String {
        format!("http://{}", self.monitor)
    }

    /// Its process id; none once it has ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn ended(&mut self) -> Result<String, Error> {
        Ok(self.child.wait().await?.to_string())
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(&mut self) -> Result<(), Error> {
        Ok(self.child.kill().await?)
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.join(LOG)
    }

    /// Starts it again on the same store and port.
    ///
    /// # Errors
    /// It does not start within 5 minutes.
    pub async fn restart(&mut self) -> Result<(), Error> {
        let _ = self.child.kill().await;
        let addresses = (self.address, self.monitor);
        let (program, directory, template) = (&self.program, &self.directory, &self.template);
        self.child = spawn(program, directory, template, addresses, self.still_opening).await?;
        Ok(())
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It cannot be stopped.
    pub async fn stop(mut self) -> Result<(), Error> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if timeout(STOP_DEADLINE, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// A port of [`FREE_PORTS`] that nobody listens at, other than this one. A process is given each of them
/// once before any again, so that none is given twice before it is listened at.
fn free_port(other: u16) -> io::Result<u16> {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        let mut random = [0; 2];
        SystemRandom.fill(&mut random);
        AtomicU16::new(u16::from_be_bytes(random))
    });
    for _ in FREE_PORTS {
        let port =
            FREE_PORTS.start + NEXT.fetch_add(1, Ordering::Relaxed) % FREE_PORTS.len() as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) if port != other => return Ok(port),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

async fn spawn(
    program: &Path,
    directory: &Path,
    template: &str,
    (address, monitor): (SocketAddr, SocketAddr),
    still_opening: StillOpening,
) -> Result<Child, Error> {
    let config = directory.join("nats.conf");
    let store = directory.join("store");
    let text = template
        .replace("{{address}}", &address.to_string())
        .replace("{{monitor}}", &monitor.to_string())
        .replace("{{store}}", &quotable(&store.display().to_string()));
    fs::write(&config, text)?;
    let mut command = dying_with_parent(program);
    let mut child = command
        .arg("-c")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let log = directory.join(LOG);
    let stderr = child.stderr.take().ok_or_else(|| Error::Start("no output".to_owned()))?;
    let began = Instant::now();
    let mut note = interval_at(began + START_NOTE, START_NOTE);
    let ready = timeout(START_DEADLINE, until_ready(stderr, log.clone()));
    tokio::pin!(ready);
    loop {
        tokio::select! {
            ready = &mut ready => {
                let late = || format!("not ready in {START_DEADLINE:?}; see {}", log.display());
                ready.map_err(|_| Error::Start(late()))??;
                break;
            }
            _ = note.tick() => still_opening(began.elapsed()),
        }
    }
    Ok(child)
}

/// The text as it stands between the double quotes of a configuration of nats-server.
fn quotable(text: &str) -> String {
    let mut quotable = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => quotable.extend(['\\', character]),
            '\n' => quotable.push_str("\\n"),
            '\r' => quotable.push_str("\\r"),
            '\t' => quotable.push_str("\\t"),
            other => quotable.push(other),
        }
    }
    quotable
}

/// The kernel kills it when the parent ends, however that ends.
fn dying_with_parent(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    // What systemd is to hear, it hears from the parent.
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        command.env_remove(variable);
    }
    command.arg("--pdeathsig").arg("KILL").arg("--").arg(program);
    command
}

/// Copies the log to a file, and returns once the server says that it is ready.
async fn until_ready(stderr: tokio::process::ChildStderr, log: PathBuf) -> Result<(), Error> {
    let mut lines = BufReader::new(stderr).lines();
    let mut file = tokio::fs::OpenOptions::new().create(true).append(true).open(&log).await?;
    let mut last = String::new();
    while let Some(line) = lines.next_line().await? {
        write_line(&mut file, &line).await;
        if line.contains("Server is ready") {
            tokio::spawn(async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    write_line(&mut file, &line).await;
                }
            });
            return Ok(());
        }
        last = line;
    }
    Err(Error::Start(format!("{last}; see {}", log.display())))
}

async fn write_line(file: &mut tokio::fs::File, line: &str) {
    use tokio::io::AsyncWriteExt;
    let _ = file.write_all(format!("{line}\n").as_bytes()).await;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_looked_for_beside_the_build_and_nowhere_else() {
        let found = of_build(Path::new("/home/me/gander/target/debug/gander"));
        assert_eq!(found, Some("/home/me/gander/target/tools/nats-server".into()));
        assert_eq!(of_build(Path::new("/usr/bin/gander")), None);
    }

    #[test]
    fn no_port_is_picked_twice_nor_the_one_that_is_spoken_for() {
        let picked: Vec<_> = (0..1_000).map(|_| free_port(0).unwrap()).collect();
        assert!(picked.iter().all(|port| FREE_PORTS.contains(port)));
        assert_eq!(BTreeSet::from_iter(&picked).len(), picked.len());
        for _ in FREE_PORTS {
            assert_ne!(free_port(picked[0]).unwrap(), picked[0]);
        }
    }

    #[test]
    fn a_path_with_quotes_is_one_text_of_its_configuration() {
        assert_eq!(quotable("/a b/\"c\\d"), r#"/a b/\"c\\d"#);
        assert_eq!(quotable("a\nb\tc"), r"a\nb\tc");
    }
}
