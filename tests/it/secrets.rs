//! No secret in any output: the main path at trace level, then every byte written is searched.

use std::path::PathBuf;

use e2e::admin::{Admin, filter, payload};
use e2e::alerts::{Sender, get};
use e2e::files::holding;
use e2e::rig::{Plan, Rig};

#[tokio::test]
async fn no_secret_is_written_anywhere() -> anyhow::Result<()> {
    let mut rig = Rig::planned(Plan { log: "trace".to_owned(), ..Plan::default() }).await?;
    let bootstrap = std::fs::read_to_string(rig.folder().join("data/bootstrap-credential"))?;
    let bootstrap = bootstrap.trim().to_owned();
    // The search finds what is there.
    assert_eq!(holding(rig.folder(), &bootstrap)?.len(), 1);
    let admin = rig.first_admin().await?;
    let team = admin.team("team").await?;
    admin.service(&team, "one", vec![filter("status")]).await?;
    let old = admin.token("canary", "").await?;
    let new = admin.replace_secret(&old).await?;
    let manager = admin.principal("m", &[&format!("team-manager:{}", team.name)]).await?;
    let manager = Admin::connect(rig.grpc(), &manager.credential).await?;
    manager.open_incidents().await?;
    let (gateway, sender) = (rig.gateway()?, Sender::default());
    let mut told = String::new();
    for secret in [&old.secret, &new.secret, &manager.credential] {
        for status in ["firing", "resolved"] {
            let by_header = sender.send(gateway, secret, payload(status, "a")).await?;
            let by_url = sender.send_by_url(gateway, secret, payload(status, "a")).await?;
            told.push_str(&format!("{by_header:?}{by_url:?}"));
        }
    }
    // A secret where none belongs, and a credential that is wrong by a character.
    sender.send_by_url(gateway, &format!("{}x", new.secret), "{}").await?;
    assert!(Admin::connect(rig.grpc(), &new.secret).await?.team("x").await.is_err());
    for role in rig.roles() {
        let running = rig.running(role)?;
        told.push_str(&get(running.ops, "/metrics").await?.1);
        told.push_str(&get(running.ops, "/readyz?verbose").await?.1);
        assert!(running.process.log().contains("DEBUG"), "{role:?} says nothing at debug level");
    }
    let secrets = [&bootstrap, &old.secret, &new.secret, &admin.credential, &manager.credential];
    for secret in secrets {
        // Prefix and checksum aside, so that a part is found too.
        let part = &secret[4..40];
        assert_eq!(holding(rig.folder(), part)?, Vec::<PathBuf>::new());
        assert!(!told.contains(part));
    }
    Ok(())
}
