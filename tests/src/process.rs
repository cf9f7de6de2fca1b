//! One process of the program under test.
//!
//! What it writes goes to a file, so that it can be searched. Must not know roles.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::environment::variable;
use tokio::process::{Child, Command};

/// A running process. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// The program that was built beside this test, or the one that `GANDER_PROGRAM` names.
///
/// # Errors
/// It was not built from the sources as they are.
pub fn program() -> anyhow::Result<PathBuf> {
    let beside = || {
        let test = std::env::current_exe()?;
        Ok(test.ancestors().nth(2).context("no target folder")?.join("gander"))
    };
    let program = variable("GANDER_PROGRAM").map(PathBuf::from).map_or_else(beside, anyhow::Ok)?;
    anyhow::ensure!(program.is_file(), "{} is missing: run `make build`", program.display());
    // The build writes beside it which files it was made from.
    let sources = std::fs::read_to_string(program.with_extension("d"))?;
    let built = program.metadata()?.modified()?;
    for source in sources.split_whitespace().skip(1) {
        let changed = std::fs::metadata(source).and_then(|source| source.modified());
        let fresh = changed.map_or(true, |changed| changed <= built);
        anyhow::ensure!(fresh, "the program is older than {source}: run `make build`");
    }
    Ok(program)
}

impl Process {
    /// Starts the program with these arguments, in a folder, with a log there.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(folder: &Path, name: &str, args: &[String]) -> anyhow::Result<Self> {
        launch(&program()?, folder, name, args, &[])
    }

    /// Starts another program than the one that was built beside this test.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_program(
        program: &Path,
        folder: &Path,
        name: &str,
        args: &[String],
    ) -> anyhow::Result<Self> {
        launch(program, folder, name, args, &[])
    }

    /// Starts the program with variables.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_with(
        folder: &Path,
        name: &str,
        args: &[String],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        launch(&program()?, folder, name, args, variables)
    }

    /// Its process id.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> anyhow::Result<Pid> {
        let pid = self.child.id().context("the process has ended")?;
        Ok(Pid::from_raw(i32::try_from(pid)?))
    }

    /// How much of its memory is in use, in KiB.
    ///
    /// # Errors
    /// It has ended.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.unwrap_or_default().parse()?)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(self.pid()?, signal)?)
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits until it ends; gives its exit code, none if a signal ended it.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        Ok(self.child.wait().await?.code())
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has written.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn launch(
    program: &Path,
    folder: &Path,
    name: &str,
    args: &[String],
    variables: &[(&str, &str)],
) -> anyhow::Result<Process> {
    let log = folder.join(format!("{name}.log"));
    let file = OpenOptions::new().create(true).append(true).open(&log)?;
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .kill_on_drop(true);
    Ok(Process { child: command.spawn()?, log })
}

/// Runs the program with these arguments until it ends; gives its exit code and what it wrote.
///
/// # Errors
/// It cannot be run.
pub async fn run(
    folder: &Path,
    input: Option<&Path>,
    args: &[&str],
) -> anyhow::Result<(i32, String)> {
    run_with(folder, input, args, &[]).await
}

/// The same with variables.
///
/// # Errors
/// It cannot be run.
pub async fn run_with(
    folder: &Path,
    input: Option<&Path>,
    args: &[&str],
    variables: &[(&str, &str)],
) -> anyhow::Result<(i32, String)> {
    let mut command = Command::new(program()?);
    let input = input.map_or(Ok(Stdio::null()), |path| File::open(path).map(Stdio::from))?;
    command.args(args).current_dir(folder).env_clear().env("HOME", folder).stdin(input);
    command.envs(variables.iter().copied());
    let output = command.kill_on_drop(true).output().await?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned()))
}
