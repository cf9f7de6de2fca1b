//! `gander team`.
//!
//! Must not know other nouns.

use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::catalog_service_client::CatalogServiceClient;

use super::commands::TeamCommand;
use super::{Connect, deleted, names, request_id, shown_time};

/// Carries it out.
pub async fn run(connect: &Connect, command: &TeamCommand) -> anyhow::Result<()> {
    let channel = connect.open().await?;
    let mut client = CatalogServiceClient::new(channel.clone());
    let request_id = request_id();
    let team = match command {
        TeamCommand::List => return show(connect, &names::teams(&channel).await?),
        TeamCommand::Create { name } => {
            let team = Some(api::Team { display_name: name.clone(), ..api::Team::default() });
            client.create_team(api::CreateTeamRequest { team, request_id }).await?.into_inner()
        }
        TeamCommand::Rename { team, name } => {
            let old = names::team(&channel, team).await?;
            let team = Some(api::Team { display_name: name.clone(), ..old });
            let request = api::UpdateTeamRequest { team, update_mask: None, request_id };
            client.update_team(request).await?.into_inner()
        }
        TeamCommand::Delete { team } => {
            let old = names::team(&channel, team).await?;
            let (name, etag) = (old.name.clone(), old.etag.clone());
            client.delete_team(api::DeleteTeamRequest { name, etag, request_id }).await?;
            let what = format!("team {:?} with its services and tokens", old.display_name);
            return deleted(connect.output, &old, &what);
        }
    };
    show(connect, &[team])
}

fn show(connect: &Connect, teams: &[api::Team]) -> anyhow::Result<()> {
    connect.output.show(teams, &["TEAM", "NAME", "CREATED"], |team| {
        let id = team.name.trim_start_matches("teams/");
        vec![id.to_owned(), team.display_name.clone(), shown_time(team.create_time.as_ref())]
    })
}
