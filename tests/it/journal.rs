//! Journal against stream, and streams that are not what they were: rebuilt, or refused and said.

use e2e::admin::{Admin, payload};
use e2e::alerts::send;
use e2e::rig::{Rig, Role};
use e2e::wait::{back_again, eventually};
use http::StatusCode;

/// Starts a role that must not run, and gives what it says.
async fn refuses(rig: &mut Rig, role: Role) -> anyhow::Result<String> {
    rig.launch(role)?;
    let running = rig.running(role)?;
    let code = running.process.ended().await?;
    let says = running.process.log();
    anyhow::ensure!(code == Some(1), "{role:?} ended with {code:?}: {says}");
    Ok(says)
}

#[tokio::test]
async fn a_stream_that_is_lost_is_written_anew_from_the_journal() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let dead = admin.token("dead", "").await?;
    let alive = admin.replace_secret(&dead).await?;
    for role in rig.roles() {
        rig.kill(role).await?;
    }
    rig.nats.kill().await?;
    std::fs::remove_dir_all(rig.folder().join("nats/store"))?;
    back_again(&mut rig.nats).await?;
    for role in rig.roles() {
        rig.restart(role).await?;
    }
    let gateway = rig.gateway()?;
    assert_eq!(send(gateway, &dead.secret, "{}").await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(send(gateway, &alive.secret, "{}").await?.status, StatusCode::ACCEPTED);
    let admin = Admin::connect(rig.grpc(), &admin.credential).await?;
    admin.delete_token(&alive).await?;
    assert_eq!(send(gateway, &alive.secret, "{}").await?.status, StatusCode::UNAUTHORIZED);
    Ok(())
}

#[tokio::test]
async fn a_journal_of_another_chain_is_refused() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    rig.first_admin().await?;
    let mut other = Rig::start().await?;
    other.first_admin().await?;
    for rig in [&mut rig, &mut other] {
        rig.kill(Role::Admin).await?;
    }
    std::fs::remove_dir_all(rig.journal())?;
    std::fs::rename(other.journal(), rig.journal())?;
    let says = refuses(&mut rig, Role::Admin).await?;
    assert!(says.contains("is not the one in GANDER_CONTROL"), "{says}");
    assert!(says.contains("keep both"), "{says}");
    Ok(())
}

#[tokio::test]
async fn a_second_admin_on_the_same_journal_is_refused() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let data = rig.folder().join("data").display().to_string();
    let (url, grpc) = (rig.nats_url(), e2e::rig::free_address()?.to_string());
    let args = ["admin", "--data", &data, "--nats-url", &url, "--grpc-listen", &grpc];
    let args = [&args[..], &["--ops-listen", "127.0.0.1:0"]].concat();
    let (code, says) = e2e::process::run(rig.folder(), None, &args).await?;
    assert!(code == 1 && says.contains("stop it first"), "{says}");
    Ok(())
}

#[tokio::test]
async fn a_worker_stops_rather_than_skip_alerts() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let token = admin.token("t", "").await?.secret;
    let gateway = rig.gateway()?;
    send(gateway, &token, payload("firing", "a")).await?;
    let context = e2e::events::connect(&rig.nats_url()).await?;
    eventually("checkpoints that have moved", async || {
        let checkpoints =
            e2e::events::stored(&rig.nats_url(), "GANDER_INCIDENTS", "gander.checkpoints.*").await;
        (checkpoints.ok()?.len() == 16).then_some(())
    })
    .await?;
    rig.kill(Role::Worker(0)).await?;
    rig.kill(Role::Admin).await?;
    context.delete_stream("GANDER_ALERTS").await?;
    // It makes the stream anew.
    rig.restart(Role::Admin).await?;
    let says = refuses(&mut rig, Role::Worker(0)).await?;
    assert!(says.contains("would skip alerts"), "{says}");
    assert!(says.contains("is not the one it was"), "{says}");
    Ok(())
}

#[tokio::test]
async fn health_and_reflection_tell_what_is_served() -> anyhow::Result<()> {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let rig = Rig::start().await?;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", rig.grpc()))?;
    let channel = channel.connect().await?;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = futures::stream::iter([request]);
    let mut client = ServerReflectionClient::new(channel.clone());
    let mut told = client.server_reflection_info(asked).await?.into_inner();
    let told = told.message().await?.and_then(|response| response.message_response);
    let Some(MessageResponse::ListServicesResponse(services)) = told else {
        anyhow::bail!("reflection tells {told:?}");
    };
    let names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    for name in ["CatalogService", "TokenService", "PrincipalService", "IncidentService"] {
        let name = format!("gander.admin.v1.{name}");
        assert!(names.contains(&name), "{names:?}");
        let request = HealthCheckRequest { service: name };
        let health = HealthClient::new(channel.clone()).check(request).await?.into_inner();
        assert_eq!(health.status, 1, "serving");
    }
    Ok(())
}
