//! What files hold: searched byte by byte.
//!
//! Must not know whose files they are.

use std::path::{Path, PathBuf};

use anyhow::ensure;

fn entries(folder: &Path) -> anyhow::Result<Vec<(PathBuf, bool)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        found.push((entry.path(), entry.file_type()?.is_dir()));
    }
    Ok(found)
}

/// The files below a folder in which the text stands.
///
/// # Errors
/// One cannot be read.
pub fn holding(folder: &Path, text: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for (path, is_folder) in entries(folder)? {
        if is_folder {
            found.extend(holding(&path, text)?);
        } else if contains(&std::fs::read(&path)?, text) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The files of a stream in which the text stands.
///
/// # Errors
/// One cannot be read, or there is not one folder of that stream below this one.
pub fn stream_holding(below: &Path, stream: &str, text: &str) -> anyhow::Result<Vec<PathBuf>> {
    let folders = folders(below, stream)?;
    ensure!(folders.len() == 1, "{stream}: {folders:?}");
    holding(&folders[0], text)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Folders of this name below another.
fn folders(below: &Path, name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for (path, _) in entries(below)?.into_iter().filter(|(_, is_folder)| *is_folder) {
        found.extend(folders(&path, name)?);
        if path.file_name().is_some_and(|own| own == name) {
            found.push(path);
        }
    }
    Ok(found)
}
