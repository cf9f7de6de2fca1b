//! What the command line writes is all there, or it says that it is not.

use std::fs::File;
use std::process::{Command, Stdio};

use e2e::process::program;

/// The exit code, and what is said on standard error.
fn written_to(output: impl Into<Stdio>) -> anyhow::Result<(Option<i32>, String)> {
    let mut command = Command::new(program()?);
    command.args(["config", "example"]).env_clear().stdin(Stdio::null());
    let ended = command.stdout(output).stderr(Stdio::piped()).output()?;
    Ok((ended.status.code(), String::from_utf8(ended.stderr)?))
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() -> anyhow::Result<()> {
    let full = File::options().write(true).open("/dev/full")?;
    let (code, said) = written_to(full)?;
    assert!(code == Some(1) && said.starts_with("error: the result cannot be written"), "{said}");
    Ok(())
}

#[test]
fn a_reader_that_has_gone_away_is_no_error() -> anyhow::Result<()> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    assert_eq!(written_to(writer)?, (Some(0), String::new()));
    Ok(())
}
