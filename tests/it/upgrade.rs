//! The build before and this one side by side, under load: up, and back again.
//!
//! `make upgrade` builds the one before and runs this, and what other files have of it.

use std::path::PathBuf;

use e2e::process;
use e2e::rig::{Plan, Role};
use e2e::stage::Stage;

/// Who reads what others write goes up before them, and back after them.
const ORDER: [Role; 4] = [Role::Worker(0), Role::Worker(1), Role::Gateway(0), Role::Admin];

/// The program of the build before.
pub fn before() -> anyhow::Result<PathBuf> {
    let program = process::program()?;
    let target = program.ancestors().nth(2).unwrap_or(&program).join("previous");
    let program = target.join("build/debug/gander");
    anyhow::ensure!(program.is_file(), "{} is missing: run `make upgrade`", program.display());
    Ok(program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the build before: `make upgrade`"]
async fn the_build_before_is_upgraded_and_brought_back_under_load() -> anyhow::Result<()> {
    let before = before()?;
    // The build before knows no keys.
    let program = Some(before.clone());
    let plan = Plan { workers: 2, program, keys: false, ..Plan::default() };
    let mut stage = Stage::start(plan).await?;
    stage.revoke().await?;
    stage.progress("work of the build before").await?;
    stage.rig.run_program(None);
    for role in ORDER {
        stage.replace(role).await?;
    }
    stage.rig.run_program(Some(before));
    for role in ORDER.into_iter().rev() {
        stage.replace(role).await?;
    }
    let (ledger, _rig) = stage.settle().await?;
    println!(
        "{} alerts acked, {} stored, {} events, {} commands acked",
        ledger.told.acked.len(),
        ledger.stored.len(),
        ledger.events.len(),
        ledger.told.commands,
    );
    assert_eq!(ledger.violations(), Vec::<String>::new());
    Ok(())
}
