//! What the roles of a rig were refused at the broker.
//!
//! Must not know what any of them may do.

use std::path::PathBuf;

/// At the end of each test: no role was refused at the broker what it needs.
#[derive(Debug)]
pub(crate) struct Rights(pub PathBuf);

const REFUSAL: &str = "nats-server refuses what this process needs";

impl Drop for Rights {
    fn drop(&mut self) {
        let logs = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let of_roles = logs.map(|file| file.path()).filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let role = name.split(['-', '.']).next().unwrap_or_default();
            name.ends_with(".log") && ["admin", "gateway", "worker"].contains(&role)
        });
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        let all: Vec<String> = of_roles.map(read).collect();
        let refused = all.iter().flat_map(|log| log.lines()).find(|line| line.contains(REFUSAL));
        if let Some(refused) = refused.filter(|_| !std::thread::panicking()) {
            panic!("{refused}");
        }
    }
}
