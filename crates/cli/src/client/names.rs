//! From the names that people use to resource names. An id works wherever a name does.
//!
//! Must not know what is done with the things found.

use std::collections::{BTreeMap, BTreeSet};

use tonic::Status;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::catalog_service_client::CatalogServiceClient;
use wire::proto::gander::admin::v1::maintenance_service_client::MaintenanceServiceClient;
use wire::proto::gander::admin::v1::principal_service_client::PrincipalServiceClient;
use wire::proto::gander::admin::v1::token_service_client::TokenServiceClient;

use super::{Authorized, NotFound, Usage};

const PAGE: i32 = 1_000;

/// In place of the name of a principal: the one who asks.
pub const ME: &str = "me";

/// All teams.
pub async fn teams(channel: &Authorized) -> anyhow::Result<Vec<api::Team>> {
    let mut client = CatalogServiceClient::new(channel.clone());
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = api::ListTeamsRequest { page_size: PAGE, page_token };
        let page = client.list_teams(request).await?.into_inner();
        all.extend(page.teams);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// All services of a parent.
pub async fn services(channel: &Authorized, parent: &str) -> anyhow::Result<Vec<api::Service>> {
    let mut client = CatalogServiceClient::new(channel.clone());
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let parent = parent.to_owned();
        let request = api::ListServicesRequest { parent, page_size: PAGE, page_token };
        let page = client.list_services(request).await?.into_inner();
        all.extend(page.services);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// All maintenance windows of a parent that are in this state; unspecified for any.
pub async fn maintenance_windows(
    channel: &Authorized,
    parent: &str,
    state: api::MaintenanceState,
) -> anyhow::Result<Vec<api::MaintenanceWindow>> {
    let mut client = MaintenanceServiceClient::new(channel.clone());
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let (parent, state) = (parent.to_owned(), state.into());
        let request = api::ListMaintenanceRequest { parent, state, page_size: PAGE, page_token };
        let page = client.list_maintenance(request).await?.into_inner();
        all.extend(page.maintenance_windows);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// All tokens, or those of a target.
pub async fn tokens(channel: &Authorized, target: String) -> anyhow::Result<Vec<api::Token>> {
    let mut client = TokenServiceClient::new(channel.clone());
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let target = target.clone();
        let request = api::ListTokensRequest { target, page_size: PAGE, page_token };
        let page = client.list_tokens(request).await?.into_inner();
        all.extend(page.tokens);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// All principals.
pub async fn principals(channel: &Authorized) -> anyhow::Result<Vec<api::Principal>> {
    let mut client = PrincipalServiceClient::new(channel.clone());
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = api::ListPrincipalsRequest { page_size: PAGE, page_token };
        let page = client.list_principals(request).await?.into_inner();
        all.extend(page.principals);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Whether something is what a text names. An id or resource name names nothing else: others choose what
/// they call their things, and may call them by the id of yours.
pub fn is_named(wanted: &str, name: &str, display_name: &str) -> bool {
    if is_id(last(wanted)) {
        name == wanted || last(name) == wanted
    } else {
        display_name == wanted
    }
}

/// Whether a text is an id, in whatever spelling.
fn is_id(text: &str) -> bool {
    let digits = || text.chars().filter(|character| *character != '-');
    digits().count() == 32 && digits().all(|digit| digit.is_ascii_hexdigit())
}

/// Tells that nothing of this kind is called so, and where to look.
fn nothing(kind: &str, wanted: &str) -> NotFound {
    let command = kind.trim_end_matches(" window");
    NotFound(format!("{kind} {wanted:?}: see `gander {command} list`"))
}

/// Tells whoever may look for what is deleted that it has no other name than its id.
pub fn or_deleted(error: anyhow::Error) -> anyhow::Error {
    match error.downcast() {
        Ok(NotFound(what)) => NotFound(format!("{what}; of what is deleted say the id")).into(),
        Err(error) => error,
    }
}

/// The one thing with this name or id.
fn find<T>(
    things: Vec<T>,
    kind: &str,
    wanted: &str,
    of: impl Fn(&T) -> (&str, &str),
) -> anyhow::Result<T> {
    let fits = |thing: &T| {
        let (name, display_name) = of(thing);
        is_named(wanted, name, display_name)
    };
    let mut found: Vec<T> = things.into_iter().filter(fits).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(nothing(kind, wanted).into()),
        _ => anyhow::bail!("several {kind}s are called {wanted:?}: use the id"),
    }
}

/// The service of an incident, by resource name.
pub fn service_of(incident: &str) -> &str {
    incident.split("/incidents/").next().unwrap_or(incident)
}

/// What people call teams and services, by resource name; none where that could not be read.
#[derive(Default)]
pub struct Labels(Option<BTreeMap<String, String>>);

impl Labels {
    /// Reads the names of all that the caller may read.
    pub async fn read(channel: &Authorized) -> anyhow::Result<Self> {
        let teams = teams(channel).await?.into_iter();
        let mut labels: BTreeMap<_, _> = teams.map(|t| (t.name, t.display_name)).collect();
        for service in services(channel, "teams/-").await? {
            let team = service.name.split("/services/").next().and_then(|team| labels.get(team));
            let team = team.map_or("-", String::as_str);
            let label = format!("{team}/{}", service.display_name);
            labels.insert(service.name, label);
        }
        Ok(Self(Some(labels)))
    }

    /// What people call the team or service with this resource name.
    pub fn of<'a>(&'a self, name: &'a str) -> &'a str {
        match &self.0 {
            Some(labels) => labels.get(name).map_or("(deleted)", String::as_str),
            None => name,
        }
    }

    fn know(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|labels| labels.contains_key(name))
    }

    /// What people call the service of an incident.
    pub fn of_incident<'a>(&'a self, name: &'a str) -> &'a str {
        self.of(service_of(name))
    }

    /// What people call the service of a maintenance window.
    pub fn of_maintenance<'a>(&'a self, name: &'a str) -> &'a str {
        self.of(name.split("/maintenances/").next().unwrap_or(name))
    }
}

/// The same for what is told over a long time: names are read again for what was made meanwhile.
pub struct Fresh {
    channel: Authorized,
    labels: Labels,
    /// What has no name any more.
    gone: BTreeSet<String>,
}

impl Fresh {
    /// Reads the names of all that the caller may read.
    pub async fn read(channel: &Authorized) -> anyhow::Result<Self> {
        let labels = Labels::read(channel).await?;
        Ok(Self { channel: channel.clone(), labels, gone: BTreeSet::new() })
    }

    /// What people call things now, these services among them.
    pub async fn of_services(&mut self, services: impl Iterator<Item = &str>) -> &Labels {
        let new: Vec<_> = services
            .filter(|name| !self.labels.know(name) && !self.gone.contains(*name))
            .map(str::to_owned)
            .collect();
        if !new.is_empty() {
            self.labels = Labels::read(&self.channel).await.unwrap_or_default();
            // Where they could not be read nothing is known to be gone, and they are read again next time.
            if self.labels.0.is_some() {
                self.gone.extend(new.into_iter().filter(|name| !self.labels.know(name)));
            }
        }
        &self.labels
    }
}

/// Whether a text is the resource name of something that services have, in this collection.
pub fn is_of_service(text: &str, collection: &str) -> bool {
    text.starts_with("teams/") && text.contains(&format!("/{collection}/"))
}

/// A team by name or id.
pub async fn team(channel: &Authorized, wanted: &str) -> anyhow::Result<api::Team> {
    find(teams(channel).await?, "team", wanted, |team| (&team.name, &team.display_name))
}

/// The team that a text such as TEAM/SERVICE begins with, and what comes after it. A team's name may
/// have a slash, too: the longest one that there is counts.
pub async fn team_and_rest(
    channel: &Authorized,
    text: &str,
) -> anyhow::Result<(api::Team, String)> {
    let Some((first, _)) = text.split_once('/') else {
        return Err(Usage("name a service as TEAM/SERVICE").into());
    };
    let all = teams(channel).await?;
    // What begins with an id means that team, whatever others are called.
    let searched = if is_id(first) { &text[..=first.len()] } else { text };
    for (at, _) in searched.rmatch_indices('/') {
        let (wanted, rest) = (&text[..at], &text[at + 1..]);
        let fits = |team: &&api::Team| is_named(wanted, &team.name, &team.display_name);
        if let Some(found) = all.iter().find(fits) {
            return Ok((found.clone(), rest.to_owned()));
        }
    }
    Err(nothing("team", first).into())
}

/// A service by TEAM/SERVICE, names or ids, or by its resource name.
pub async fn service(channel: &Authorized, wanted: &str) -> anyhow::Result<api::Service> {
    if wanted.starts_with("teams/") && wanted.matches('/').count() == 3 {
        let all = services(channel, "teams/-").await?;
        return find(all, "service", wanted, |service| (&service.name, ""));
    }
    let (team, wanted) = team_and_rest(channel, wanted).await?;
    let wanted = wanted.as_str();
    let all = services(channel, &team.name).await?;
    find(all, "service", wanted, |service| (&service.name, &service.display_name))
}

/// A token by name or id.
pub async fn token(channel: &Authorized, wanted: &str) -> anyhow::Result<api::Token> {
    find(tokens(channel, String::new()).await?, "token", wanted, |token| {
        (&token.name, &token.display_name)
    })
}

/// A principal by name or id, or with [`ME`] the caller, whom everybody may read.
pub async fn principal(channel: &Authorized, wanted: &str) -> anyhow::Result<api::Principal> {
    if wanted == ME {
        let request = api::GetPrincipalRequest { name: "principals/me".to_owned() };
        let mut client = PrincipalServiceClient::new(channel.clone());
        return Ok(client.get_principal(request).await?.into_inner());
    }
    find(principals(channel).await?, "principal", wanted, |found| {
        (&found.name, &found.display_name)
    })
}

/// What people call the principal with this resource name.
pub async fn principal_called(channel: &Authorized, name: &str) -> Result<String, Status> {
    let request = api::GetPrincipalRequest { name: name.to_owned() };
    let found = PrincipalServiceClient::new(channel.clone()).get_principal(request).await?;
    Ok(found.into_inner().display_name)
}

/// The resource name of a maintenance window by its id or resource name.
pub async fn maintenance_window(channel: &Authorized, wanted: &str) -> anyhow::Result<String> {
    if is_of_service(wanted, "maintenances") {
        return Ok(wanted.to_owned());
    }
    let all = maintenance_windows(channel, "teams/-", api::MaintenanceState::Unspecified).await?;
    Ok(find(all, "maintenance window", wanted, |window| (&window.name, ""))?.name)
}

/// The parent of lists for a team, or for all.
pub async fn parent(channel: &Authorized, in_team: Option<&str>) -> anyhow::Result<String> {
    match in_team {
        Some(wanted) => Ok(team(channel, wanted).await?.name),
        None => Ok("teams/-".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_nothing_that_is_only_called_so() {
        let (mine, theirs) = (
            "tokens/01a2253b-8662-7000-8000-000000000001",
            "tokens/01a2253b-8662-7000-8000-000000000002",
        );
        for wanted in [mine, last(mine)] {
            assert!(is_named(wanted, mine, "pager"));
            assert!(!is_named(wanted, theirs, wanted), "{wanted}");
        }
        let other_spelling = last(mine).to_ascii_uppercase();
        assert!(!is_named(&other_spelling, theirs, &other_spelling));
        assert!(is_named("pager", mine, "pager"));
        assert!(is_named("tokens/pager", mine, "tokens/pager"));
        assert!(!is_named("", mine, "pager"));
    }
}
