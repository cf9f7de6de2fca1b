//! `gander token`.
//!
//! Must not know what a token opens.

use runtime::clock::SystemClock;
use runtime::secret_file::Place;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::token_service_client::TokenServiceClient;

use super::commands::{OverLimit, Rule, Switch, TokenCommand};
use super::{
    Authorized, Connect, Output, deleted, keep, mask, names, prepare, request_id, show_secret,
    shown_expiry, shown_hour, shown_time,
};

/// Carries it out.
pub async fn run(connect: &Connect, command: &TokenCommand) -> anyhow::Result<()> {
    let replaces = matches!(command, TokenCommand::ReplaceSecret { .. });
    let place = prepare(command.secret_file(), replaces)?;
    let channel = connect.open().await?;
    let mut client = TokenServiceClient::new(channel.clone());
    match command {
        TokenCommand::List { team, service } => {
            let of = target(&channel, team.as_deref(), service.as_deref()).await?.1;
            show(connect, &channel, &names::tokens(&channel, of).await?).await
        }
        TokenCommand::Create {
            name,
            team,
            service,
            url_parameter,
            over_limit,
            tracking,
            expires,
            ..
        } => {
            let (kind, target) = target(&channel, team.as_deref(), service.as_deref()).await?;
            let token = api::Token {
                display_name: name.clone(),
                r#type: kind.into(),
                target,
                url_parameter_allowed: Some(*url_parameter == Rule::Allow),
                unavailable_over_limit: Some(*over_limit == OverLimit::Unavailable),
                tracking: Some(*tracking == Switch::On),
                expire_time: expires.to_proto(&SystemClock),
                ..api::Token::default()
            };
            let request = api::CreateTokenRequest { token: Some(token), request_id: request_id() };
            let made = client.create_token(request).await?;
            show_made(connect, &channel, made.into_inner(), place).await
        }
        TokenCommand::Update { token, name, expires, url_parameter, over_limit, tracking } => {
            let update_mask = mask(&[
                ("display_name", name.is_some()),
                ("expire_time", expires.is_some()),
                ("url_parameter_allowed", url_parameter.is_some()),
                ("unavailable_over_limit", over_limit.is_some()),
                ("tracking", tracking.is_some()),
            ])?;
            let token = Some(api::Token {
                display_name: name.clone().unwrap_or_default(),
                expire_time: expires.and_then(|when| when.to_proto(&SystemClock)),
                url_parameter_allowed: url_parameter.map(|rule| rule == Rule::Allow),
                unavailable_over_limit: over_limit.map(|over| over == OverLimit::Unavailable),
                tracking: tracking.map(|switch| switch == Switch::On),
                ..names::token(&channel, token).await?
            });
            let request = api::UpdateTokenRequest { token, update_mask, request_id: request_id() };
            show(connect, &channel, &[client.update_token(request).await?.into_inner()]).await
        }
        TokenCommand::ReplaceSecret { token, secret_file: _ } => {
            replace_secret(connect, &channel, token, place).await
        }
        TokenCommand::Delete { token } => delete(connect, &channel, token).await,
    }
}

async fn replace_secret(
    connect: &Connect,
    channel: &Authorized,
    token: &str,
    place: Option<Place>,
) -> anyhow::Result<()> {
    let api::Token { name, etag, .. } = names::token(channel, token).await?;
    let request = api::ReplaceSecretRequest { name, etag, request_id: request_id() };
    let made = TokenServiceClient::new(channel.clone()).replace_secret(request).await?;
    show_made(connect, channel, made.into_inner(), place).await
}

async fn delete(connect: &Connect, channel: &Authorized, token: &str) -> anyhow::Result<()> {
    let old = names::token(channel, token).await?;
    let (name, etag) = (old.name.clone(), old.etag.clone());
    let request = api::DeleteTokenRequest { name, etag, request_id: request_id() };
    TokenServiceClient::new(channel.clone()).delete_token(request).await?;
    deleted(connect.output, &old, &format!("token {:?}", old.display_name))
}

async fn target(
    channel: &Authorized,
    team: Option<&str>,
    service: Option<&str>,
) -> anyhow::Result<(api::TokenType, String)> {
    match (team, service) {
        (Some(team), _) => Ok((api::TokenType::Team, names::team(channel, team).await?.name)),
        (None, Some(service)) => {
            Ok((api::TokenType::Service, names::service(channel, service).await?.name))
        }
        (None, None) => Ok((api::TokenType::Global, String::new())),
    }
}

async fn show_made(
    connect: &Connect,
    channel: &Authorized,
    token: api::Token,
    place: Option<Place>,
) -> anyhow::Result<()> {
    let secret = token.secret.clone();
    match (connect.output, keep(place, &secret)?) {
        (Output::Json, None) => show(connect, channel, &[token]).await?,
        (_, kept) => {
            show(connect, channel, &[api::Token { secret: String::new(), ..token }]).await?;
            show_secret(&secret, kept.as_deref());
        }
    }
    Ok(())
}

async fn show(
    connect: &Connect,
    channel: &Authorized,
    tokens: &[api::Token],
) -> anyhow::Result<()> {
    // A secret that was made must be shown whatever happens to the names of teams.
    let labels = names::Labels::read(channel).await.unwrap_or_default();
    let head = [
        "TOKEN",
        "NAME",
        "TYPE",
        "TARGET",
        "SECRET",
        "CREATED",
        "LAST USE",
        "RULES",
        "EXPIRES",
        "TRACKED UNTIL",
    ];
    connect.output.show(tokens, &head, |token| {
        let kind = token.r#type().as_str_name().trim_start_matches("TOKEN_TYPE_").to_lowercase();
        let target = if token.target.is_empty() { "everything" } else { labels.of(&token.target) };
        vec![
            token.name.trim_start_matches("tokens/").to_owned(),
            token.display_name.clone(),
            kind,
            target.to_owned(),
            token.hint.clone(),
            shown_time(token.create_time.as_ref()),
            // Kept by the hour.
            shown_hour(token.last_use_time.as_ref()),
            rules(token),
            shown_expiry(token.expire_time.as_ref(), token.expired),
            shown_time(token.tracking_expire_time.as_ref()),
        ]
    })
}

/// What is not as it is by itself.
fn rules(token: &api::Token) -> String {
    let no_url = (token.url_parameter_allowed == Some(false)).then_some("not in URLs");
    let over_limit = (token.unavailable_over_limit == Some(true)).then_some("503 over limit");
    let rules: Vec<_> = [no_url, over_limit].into_iter().flatten().collect();
    if rules.is_empty() { "-".to_owned() } else { rules.join(", ") }
}
