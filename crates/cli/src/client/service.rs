//! `gander service`.
//!
//! Must not know filters.

use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::catalog_service_client::CatalogServiceClient;

use super::commands::ServiceCommand;
use super::{Authorized, Connect, deleted, names, request_id};

/// Carries it out.
pub async fn run(connect: &Connect, command: &ServiceCommand) -> anyhow::Result<()> {
    let channel = connect.open().await?;
    let mut client = CatalogServiceClient::new(channel.clone());
    let service = match command {
        ServiceCommand::List { team } => {
            let parent = names::parent(&channel, team.as_deref()).await?;
            let services = names::services(&channel, &parent).await?;
            return show(connect, &channel, &services).await;
        }
        ServiceCommand::Create { service } => {
            let (team, display_name) = names::team_and_rest(&channel, service).await?;
            let parent = team.name;
            let service = Some(api::Service { display_name, ..api::Service::default() });
            let request = api::CreateServiceRequest { parent, service, request_id: request_id() };
            client.create_service(request).await?.into_inner()
        }
        ServiceCommand::Rename { service, name } => {
            let old = names::service(&channel, service).await?;
            let new = api::Service { display_name: name.clone(), ..old };
            update(&mut client, new, "display_name").await?
        }
        ServiceCommand::Disable { service } => {
            let old = names::service(&channel, service).await?;
            update(&mut client, api::Service { disabled: true, ..old }, "disabled").await?
        }
        ServiceCommand::Enable { service } => {
            let old = names::service(&channel, service).await?;
            update(&mut client, api::Service { disabled: false, ..old }, "disabled").await?
        }
        ServiceCommand::Delete { service } => {
            let old = names::service(&channel, service).await?;
            let (name, etag) = (old.name.clone(), old.etag.clone());
            let request = api::DeleteServiceRequest { name, etag, request_id: request_id() };
            client.delete_service(request).await?;
            let what = format!("service {:?} with its tokens", old.display_name);
            return deleted(connect.output, &old, &what);
        }
    };
    show(connect, &channel, &[service]).await
}

/// Changes one field of a service.
pub async fn update(
    client: &mut CatalogServiceClient<Authorized>,
    service: api::Service,
    field: &str,
) -> anyhow::Result<api::Service> {
    let request = api::UpdateServiceRequest {
        service: Some(service),
        update_mask: Some(pbjson_types::FieldMask { paths: vec![field.to_owned()] }),
        request_id: request_id(),
    };
    Ok(client.update_service(request).await?.into_inner())
}

async fn show(
    connect: &Connect,
    channel: &Authorized,
    services: &[api::Service],
) -> anyhow::Result<()> {
    let labels = names::Labels::read(channel).await?;
    connect.output.show(services, &["SERVICE", "NAME", "FILTERS", "STATE"], |service| {
        let state = match (service.disabled, service.in_maintenance) {
            (true, _) => "disabled",
            (false, true) => "maintenance",
            (false, false) => "active",
        };
        vec![
            service.name.rsplit('/').next().unwrap_or_default().to_owned(),
            labels.of(&service.name).to_owned(),
            service.filters.len().to_string(),
            state.to_owned(),
        ]
    })
}
