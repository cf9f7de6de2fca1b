//! The program with another time of day, which may jump while it runs.
//!
//! Only the time of day: clocks that count from the start of the machine stay as they are.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::process;
use crate::tools::tool;

/// The program as it would run that much later, such as `+48h`.
///
/// # Errors
/// It cannot be written.
pub fn later(folder: &Path, by: &str) -> anyhow::Result<PathBuf> {
    script(&folder.join(format!("gander{by}")), &format!("FAKETIME='{by}'"))
}

/// A time of day that can be set.
#[derive(Debug)]
pub struct Jumping {
    /// The program that goes by it.
    pub program: PathBuf,
    file: PathBuf,
}

impl Jumping {
    /// One that is right so far.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let file = folder.join(format!("{name}.time"));
        let from = format!("FAKETIME_TIMESTAMP_FILE='{}' FAKETIME_NO_CACHE=1", file.display());
        let program = script(&folder.join(name), &from)?;
        let jumping = Self { program, file };
        jumping.set("+0")?;
        Ok(jumping)
    }

    /// From now on the time of day is that much later, such as `+1h` or `-1h`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set(&self, by: &str) -> anyhow::Result<()> {
        // Whoever reads it meanwhile has the one before.
        let fresh = self.file.with_extension("fresh");
        std::fs::write(&fresh, format!("{by}\n"))?;
        Ok(std::fs::rename(fresh, &self.file)?)
    }
}

fn script(path: &Path, time: &str) -> anyhow::Result<PathBuf> {
    let library = tool("faketime/libfaketimeMT.so.1")?;
    let program = process::program()?;
    let script = format!(
        "#!/bin/sh\nLD_PRELOAD='{}' {time} FAKETIME_DONT_FAKE_MONOTONIC=1 exec '{}' \"$@\"\n",
        library.display(),
        program.display(),
    );
    std::fs::write(path, script)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path.to_owned())
}
