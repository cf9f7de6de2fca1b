//! gRPC: one verb for each thing that a person does.
//!
//! Must not know what follows from it.

use std::net::SocketAddr;

use anyhow::Context;
use pbjson_types::FieldMask;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::api_log_service_client::ApiLogServiceClient;
use wire::proto::gander::admin::v1::audit_service_client::AuditServiceClient;
use wire::proto::gander::admin::v1::catalog_service_client::CatalogServiceClient;
use wire::proto::gander::admin::v1::incident_service_client::IncidentServiceClient;
use wire::proto::gander::admin::v1::maintenance_service_client::MaintenanceServiceClient;
use wire::proto::gander::admin::v1::parked_service_client::ParkedServiceClient;
use wire::proto::gander::admin::v1::principal_service_client::PrincipalServiceClient;
use wire::proto::gander::admin::v1::status_service_client::StatusServiceClient;
use wire::proto::gander::admin::v1::token_service_client::TokenServiceClient;
use wire::proto::gander::events::v1 as events;
use wire::timestamp::Timestamp;

/// Adds a credential to each call; none where it is empty.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

type Authorized = InterceptedService<Channel, Bearer>;

/// Somebody who administers.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Their credential.
    pub credential: String,
    channel: Authorized,
}

/// A filter that opens and closes an incident for each value of `key`, by `status`.
#[must_use]
pub fn filter(name: &str) -> api::Filter {
    let condition =
        |text: &str| api::Condition { key: "status".to_owned(), contains: vec![text.to_owned()] };
    api::Filter {
        id: String::new(),
        display_name: name.to_owned(),
        trigger: Some(api::Trigger {
            urgency: events::Urgency::High.into(),
            conditions: vec![condition("firing")],
            title_from: "title".to_owned(),
            description_from: String::new(),
            map_with: "key".to_owned(),
        }),
        resolve: Some(api::Resolve {
            condition: Some(condition("resolved")),
            mapped_with: "key".to_owned(),
        }),
    }
}

/// A payload that [`filter`] understands.
#[must_use]
pub fn payload(status: &str, key: &str) -> String {
    serde_json::json!({"status": status, "key": key, "title": format!("trouble {key}")}).to_string()
}

/// A fresh request id.
#[must_use]
pub fn request_id() -> String {
    use runtime::random::Random;
    let mut bytes = [0; 16];
    runtime::random::SystemRandom.fill(&mut bytes);
    domain::id::AlertId::from_bytes(bytes).to_string()
}

/// The next event of a watch, and where to resume after it.
///
/// # Errors
/// The watch has ended.
pub async fn next_event(
    watching: &mut Streaming<api::WatchIncidentsResponse>,
) -> Result<(events::IncidentEvent, String), Status> {
    loop {
        let next = watching.message().await?;
        let next = next.ok_or_else(|| Status::unavailable("the watch has ended"))?;
        if let Some(event) = next.event {
            return Ok((event, next.cursor));
        }
    }
}

/// The time so many seconds from now.
#[must_use]
pub fn in_seconds(seconds: u64) -> Timestamp {
    use runtime::clock::Clock;
    let now = runtime::clock::SystemClock.now();
    wire::event::time(now.plus(std::time::Duration::from_secs(seconds)))
}

impl Admin {
    /// Connects with a credential; an empty one is not sent.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn connect(server: SocketAddr, credential: &str) -> anyhow::Result<Self> {
        Self::over(Endpoint::from_shared(format!("http://{server}"))?.connect().await?, credential)
    }

    /// Takes a connection that there is; an empty credential is not sent.
    ///
    /// # Errors
    /// The credential is not text.
    pub fn over(channel: Channel, credential: &str) -> anyhow::Result<Self> {
        let value = (!credential.is_empty()).then(|| format!("Bearer {credential}").parse());
        let channel = InterceptedService::new(channel, Bearer(value.transpose()?));
        Ok(Self { credential: credential.to_owned(), channel })
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> CatalogServiceClient<Authorized> {
        CatalogServiceClient::new(self.channel.clone())
    }

    /// The maintenance windows.
    #[must_use]
    pub fn maintenance(&self) -> MaintenanceServiceClient<Authorized> {
        MaintenanceServiceClient::new(self.channel.clone())
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> TokenServiceClient<Authorized> {
        TokenServiceClient::new(self.channel.clone())
    }

    /// The principals.
    #[must_use]
    pub fn principals(&self) -> PrincipalServiceClient<Authorized> {
        PrincipalServiceClient::new(self.channel.clone())
    }

    /// The API log.
    #[must_use]
    pub fn api_log(&self) -> ApiLogServiceClient<Authorized> {
        ApiLogServiceClient::new(self.channel.clone())
    }

    /// The audit log.
    #[must_use]
    pub fn audit(&self) -> AuditServiceClient<Authorized> {
        AuditServiceClient::new(self.channel.clone())
    }

    /// The parked records.
    #[must_use]
    pub fn parked(&self) -> ParkedServiceClient<Authorized> {
        ParkedServiceClient::new(self.channel.clone())
    }

    /// The incidents.
    #[must_use]
    pub fn incidents(&self) -> IncidentServiceClient<Authorized> {
        IncidentServiceClient::new(self.channel.clone())
    }

    /// How the installation is.
    ///
    /// # Errors
    /// It is refused, or nobody answers.
    pub async fn status(&self) -> Result<api::GetStatusResponse, Status> {
        let mut client = StatusServiceClient::new(self.channel.clone());
        Ok(client.get_status(api::GetStatusRequest {}).await?.into_inner())
    }

    /// Makes a principal with roles such as `observer:teams/…`.
    ///
    /// # Errors
    /// It is refused.
    pub async fn principal(&self, name: &str, roles: &[&str]) -> anyhow::Result<api::Principal> {
        let grant = |text: &&str| {
            let (role, team) = text.split_once(':').unwrap_or((text, ""));
            let role = format!("ROLE_{}", role.replace('-', "_").to_uppercase());
            let role = api::Role::from_str_name(&role).context("no such role")?;
            anyhow::Ok(api::RoleGrant { role: role.into(), team: team.to_owned() })
        };
        let roles = roles.iter().map(grant).collect::<Result<_, _>>()?;
        let principal =
            api::Principal { display_name: name.to_owned(), roles, ..api::Principal::default() };
        let (principal, request_id) = (Some(principal), request_id());
        let request = api::CreatePrincipalRequest { principal, request_id };
        Ok(self.principals().create_principal(request).await?.into_inner())
    }

    /// Makes a team.
    ///
    /// # Errors
    /// It is refused.
    pub async fn team(&self, name: &str) -> anyhow::Result<api::Team> {
        let team = Some(api::Team { display_name: name.to_owned(), ..api::Team::default() });
        let request = api::CreateTeamRequest { team, request_id: request_id() };
        Ok(self.catalog().create_team(request).await?.into_inner())
    }

    /// Makes a service with these filters.
    ///
    /// # Errors
    /// It is refused.
    pub async fn service(
        &self,
        team: &api::Team,
        name: &str,
        filters: Vec<api::Filter>,
    ) -> anyhow::Result<api::Service> {
        let service =
            api::Service { display_name: name.to_owned(), filters, ..api::Service::default() };
        let (parent, service) = (team.name.clone(), Some(service));
        let request = api::CreateServiceRequest { parent, service, request_id: request_id() };
        Ok(self.catalog().create_service(request).await?.into_inner())
    }

    /// Changes fields of a service.
    ///
    /// # Errors
    /// It is refused.
    pub async fn update_service(
        &self,
        service: api::Service,
        field: &str,
    ) -> anyhow::Result<api::Service> {
        let update_mask = Some(FieldMask { paths: vec![field.to_owned()] });
        let (service, request_id) = (Some(service), request_id());
        let request = api::UpdateServiceRequest { service, update_mask, request_id };
        Ok(self.catalog().update_service(request).await?.into_inner())
    }

    /// Makes a maintenance window of a service that begins so many seconds from now, now without,
    /// and ends in an hour.
    ///
    /// # Errors
    /// It is refused.
    pub async fn window(
        &self,
        service: &api::Service,
        begins: Option<u64>,
        tags: &[&[&str]],
    ) -> Result<api::MaintenanceWindow, Status> {
        let tag = |texts: &&[&str]| api::MaintenanceTag {
            contains: texts.iter().map(|text| (*text).to_owned()).collect(),
        };
        let window = api::MaintenanceWindow {
            start_time: begins.map(in_seconds),
            end_time: Some(in_seconds(3_600)),
            tags: tags.iter().map(tag).collect(),
            ..api::MaintenanceWindow::default()
        };
        let (parent, maintenance_window) = (service.name.clone(), Some(window));
        let request_id = request_id();
        let request = api::CreateMaintenanceRequest { parent, maintenance_window, request_id };
        Ok(self.maintenance().create_maintenance(request).await?.into_inner())
    }

    /// Ends a maintenance window.
    ///
    /// # Errors
    /// It is refused.
    pub async fn end_window(&self, name: &str) -> Result<api::MaintenanceWindow, Status> {
        let request =
            api::EndMaintenanceRequest { name: name.to_owned(), request_id: request_id() };
        Ok(self.maintenance().end_maintenance(request).await?.into_inner())
    }

    /// Makes a token for everything (no target), a team or a service.
    ///
    /// # Errors
    /// It is refused.
    pub async fn token(&self, name: &str, target: &str) -> anyhow::Result<api::Token> {
        let kind = match target.matches('/').count() {
            0 => api::TokenType::Global,
            1 => api::TokenType::Team,
            _ => api::TokenType::Service,
        };
        let token = api::Token {
            display_name: name.to_owned(),
            r#type: kind.into(),
            target: target.to_owned(),
            ..api::Token::default()
        };
        let request = api::CreateTokenRequest { token: Some(token), request_id: request_id() };
        Ok(self.tokens().create_token(request).await?.into_inner())
    }

    /// The names that people gave to all teams.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn teams(&self) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = api::ListTeamsRequest { page_size: 1_000, page_token };
            let page = self.catalog().list_teams(request).await?.into_inner();
            names.extend(page.teams.into_iter().map(|team| team.display_name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(names);
            }
        }
    }

    /// The resource names of all tokens.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn all_tokens(&self) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        let mut page_token = String::new();
        loop {
            let target = String::new();
            let request = api::ListTokensRequest { target, page_size: 1_000, page_token };
            let page = self.tokens().list_tokens(request).await?.into_inner();
            names.extend(page.tokens.into_iter().map(|token| token.name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(names);
            }
        }
    }

    /// The names that people gave to the filters of a service.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn filters(&self, service: &str) -> anyhow::Result<Vec<String>> {
        let request = api::GetServiceRequest { name: service.to_owned() };
        let service = self.catalog().get_service(request).await?.into_inner();
        Ok(service.filters.into_iter().map(|filter| filter.display_name).collect())
    }

    /// Switches the tracking of a token on or off.
    ///
    /// # Errors
    /// It is refused.
    pub async fn track(&self, token: &api::Token, on: bool) -> anyhow::Result<api::Token> {
        let name = token.name.clone();
        let token = Some(api::Token { name, tracking: Some(on), ..api::Token::default() });
        let update_mask = Some(FieldMask { paths: vec!["tracking".to_owned()] });
        let request = api::UpdateTokenRequest { token, update_mask, request_id: request_id() };
        Ok(self.tokens().update_token(request).await?.into_inner())
    }

    /// Replaces a token's secret.
    ///
    /// # Errors
    /// It is refused.
    pub async fn replace_secret(&self, token: &api::Token) -> anyhow::Result<api::Token> {
        let (name, etag) = (token.name.clone(), String::new());
        let request = api::ReplaceSecretRequest { name, etag, request_id: request_id() };
        Ok(self.tokens().replace_secret(request).await?.into_inner())
    }

    /// Deletes a token.
    ///
    /// # Errors
    /// It is refused.
    pub async fn delete_token(&self, token: &api::Token) -> anyhow::Result<()> {
        let (name, etag) = (token.name.clone(), String::new());
        let request = api::DeleteTokenRequest { name, etag, request_id: request_id() };
        self.tokens().delete_token(request).await?;
        Ok(())
    }

    /// The open incidents that it may read.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn open_incidents(&self) -> anyhow::Result<Vec<events::Incident>> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = api::ListIncidentsRequest {
                page_size: 1_000,
                page_token,
                ..api::ListIncidentsRequest::default()
            };
            let page = self.incidents().list_incidents(request).await?.into_inner();
            all.extend(page.incidents);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Reads an incident by its resource name.
    ///
    /// # Errors
    /// It is refused.
    pub async fn incident(&self, name: &str) -> Result<events::Incident, Status> {
        let request = api::GetIncidentRequest { name: name.to_owned() };
        Ok(self.incidents().get_incident(request).await?.into_inner())
    }

    /// Acknowledges an incident.
    ///
    /// # Errors
    /// It is refused.
    pub async fn acknowledge(&self, name: &str) -> Result<events::Incident, Status> {
        let (name, request_id) = (name.to_owned(), request_id());
        let request = api::AcknowledgeIncidentRequest { name, request_id };
        Ok(self.incidents().acknowledge_incident(request).await?.into_inner())
    }

    /// Resolves an incident.
    ///
    /// # Errors
    /// It is refused.
    pub async fn resolve(&self, name: &str) -> Result<events::Incident, Status> {
        let (name, request_id) = (name.to_owned(), request_id());
        let request = api::ResolveIncidentRequest { name, request_id };
        Ok(self.incidents().resolve_incident(request).await?.into_inner())
    }

    /// Follows incident events from a cursor. The first message has no event.
    ///
    /// # Errors
    /// It is refused.
    pub async fn watch(
        &self,
        cursor: &str,
    ) -> anyhow::Result<Streaming<api::WatchIncidentsResponse>> {
        let request =
            api::WatchIncidentsRequest { parent: String::new(), cursor: cursor.to_owned() };
        Ok(self.incidents().watch_incidents(request).await?.into_inner())
    }
}
