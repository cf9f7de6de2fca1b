//! API tokens.
//!
//! Must not know gateways; that a change has reached them is awaited for every command.

use domain::aggregate::Rejection;
use domain::commit::{Change, Subject};
use domain::directory::Siblings;
use domain::id::TokenId;
use domain::reach::Reach;
use domain::secret::Kind;
use domain::token::{self, Token};
use tonic::{Request, Response, Status};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::token_service_server::TokenService;

use super::call::{Calls, request_of};
use super::convert::{
    Mask, display_name, expected, list_parent, reach_from, time_at, token_name, token_to,
};
use super::error;
use crate::access::{About, may_read_reach};
use crate::endings;

impl Calls {
    fn show_token(&self, id: TokenId, secret: &str) -> Result<Response<api::Token>, Status> {
        let (now, last_use) = (self.now(), self.last_uses.of(id));
        let token = self
            .store
            .read(|directory| directory.token(id).map(|token| token_to(token, now, last_use)));
        let token = token.ok_or_else(|| error::not_found(&format!("tokens/{id}")))?;
        Ok(Response::new(api::Token { secret: secret.to_owned(), ..token }))
    }

    /// What a call about this token is about: its reach, also when it is dead, so that a call
    /// that deleted it can be repeated.
    fn about_token(&self, name: &str, at: &str) -> Result<About, Status> {
        let id = token_name(name, at)?;
        let reach = self.store.read(|directory| directory.reach_of(id));
        Ok(About { reach, ..About::default() })
    }
}

/// What an update may change.
const CHANGEABLE: [&str; 5] =
    ["display_name", "expire_time", "url_parameter_allowed", "unavailable_over_limit", "tracking"];

#[tonic::async_trait]
impl TokenService for Calls {
    async fn create_token(
        &self,
        request: Request<api::CreateTokenRequest>,
    ) -> Result<Response<api::Token>, Status> {
        let method = "TokenService/CreateToken";
        let reach_of = |m: &api::CreateTokenRequest| {
            let token = m.token.as_ref().ok_or_else(|| error::field("token", "is required"))?;
            reach_from(token.r#type(), &token.target)
        };
        let (caller, message) = self.admit(request, method, |m| reach_of(m).map(About::from))?;
        let asked = request_of(method, &message.request_id, &message)?;
        let reach = reach_of(&message)?;
        let sent = message.token.unwrap_or_default();
        let name = display_name(&sent.display_name, "token.display_name")?;
        let expires_at = time_at(sent.expire_time.as_ref(), "token.expire_time")?;
        let url_parameter_allowed = sent.url_parameter_allowed.unwrap_or(true);
        let unavailable_over_limit = sent.unavailable_over_limit.unwrap_or(false);
        let tracked = sent.tracking.unwrap_or(false);
        let id = TokenId::from_bytes(self.fresh_id());
        let secret = self.secret(Kind::Token);
        let (digest, last_four) = (secret.digest(), secret.last_four());
        let done = self.execute(&caller, "", asked, move |directory, now| {
            let command = token::Command::Create {
                name_taken: directory.named(Siblings::Tokens(reach), name.as_str()).is_some(),
                name,
                reach,
                target_lives: directory.lives(reach),
                digest,
                last_four,
                expires_at,
                url_parameter_allowed,
                unavailable_over_limit,
                tracked,
                now,
            };
            let events = token::decide(directory.token_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Token(id, event)).collect())
        });
        match done.await?.repeat_of {
            Some(Subject::Token(earlier)) => self.show_token(earlier, ""),
            Some(_) => Err(error::not_found(&format!("tokens/{id}"))),
            None => self.show_token(id, secret.reveal()),
        }
    }

    async fn get_token(
        &self,
        request: Request<api::GetTokenRequest>,
    ) -> Result<Response<api::Token>, Status> {
        let about = |m: &api::GetTokenRequest| self.about_token(&m.name, "name");
        let (_, message) = self.admit(request, "TokenService/GetToken", about)?;
        self.show_token(token_name(&message.name, "name")?, "")
    }

    async fn list_tokens(
        &self,
        request: Request<api::ListTokensRequest>,
    ) -> Result<Response<api::ListTokensResponse>, Status> {
        let method = "TokenService/ListTokens";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let (team, service) = list_parent(&message.target)?;
        if let Some(team) = team
            && !may_read_reach(&caller, Reach::Team(team))
        {
            return Err(error::denied());
        }
        let fits = |reach: Reach| match (team, service) {
            (None, _) => true,
            (Some(team), None) => reach.team() == Some(team),
            (Some(team), Some(service)) => reach == Reach::Service(team, service),
        };
        let question = format!("{method} {}", message.target);
        let page = self.page(message.page_size, &message.page_token, &question)?;
        let now = self.now();
        let (tokens, next_page_token) = self.store.read(|directory| {
            let own = directory
                .tokens()
                .filter(|token| fits(token.reach) && may_read_reach(&caller, token.reach));
            let shown = |token: &Token| token_to(token, now, self.last_uses.of(token.id));
            page.of(own, |token| *token.id.as_bytes(), shown)
        });
        Ok(Response::new(api::ListTokensResponse { tokens, next_page_token }))
    }

    async fn update_token(
        &self,
        request: Request<api::UpdateTokenRequest>,
    ) -> Result<Response<api::Token>, Status> {
        let method = "TokenService/UpdateToken";
        let about = |m: &api::UpdateTokenRequest| {
            let name = m.token.as_ref().map(|token| token.name.as_str());
            self.about_token(name.unwrap_or_default(), "token.name")
        };
        let (caller, message) = self.admit(request, method, about)?;
        let asked = request_of(method, &message.request_id, &message)?;
        let sent = message.token.ok_or_else(|| error::field("token", "is required"))?;
        let id = token_name(&sent.name, "token.name")?;
        let mask = Mask::parse(message.update_mask, &CHANGEABLE)?;
        let name = mask.has("display_name", !sent.display_name.is_empty());
        let name =
            name.then(|| display_name(&sent.display_name, "token.display_name")).transpose()?;
        let expires_at = time_at(sent.expire_time.as_ref(), "token.expire_time")?;
        let expires_at = mask.has("expire_time", expires_at.is_some()).then_some(expires_at);
        let url = sent.url_parameter_allowed;
        let url = mask.has("url_parameter_allowed", url.is_some()).then(|| url.unwrap_or(true));
        let over = sent.unavailable_over_limit;
        let over = mask.has("unavailable_over_limit", over.is_some()).then(|| over == Some(true));
        let (track, again) = (sent.tracking, mask.names("tracking"));
        let tracked = mask.has("tracking", track.is_some()).then(|| track.unwrap_or(false));
        let expected = expected(&sent.etag, "token.etag")?;
        if tracked.is_some() {
            let ended = endings::end_tracking_if_over(&self.store, &*self.clock, id).await;
            ended.map_err(|failed| error::command(failed, &sent.name))?;
        }
        self.execute(&caller, &sent.name, asked, move |directory, now| {
            let token = directory.token(id).ok_or(Rejection::NotFound)?;
            let found = name
                .as_ref()
                .and_then(|name| directory.named(Siblings::Tokens(token.reach), name.as_str()));
            let command = token::Command::Update {
                expected,
                name,
                name_taken: found.is_some_and(|found| found != Subject::Token(id)),
                expires_at,
                url_parameter_allowed: url,
                unavailable_over_limit: over,
                // Who sends back what was read does not mean to begin its time anew.
                tracked: tracked.filter(|tracked| again || *tracked != token.tracked(now)),
                now,
            };
            let events = token::decide(directory.token_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Token(id, event)).collect())
        })
        .await?;
        self.show_token(id, "")
    }

    async fn replace_secret(
        &self,
        request: Request<api::ReplaceSecretRequest>,
    ) -> Result<Response<api::Token>, Status> {
        let method = "TokenService/ReplaceSecret";
        let about = |m: &api::ReplaceSecretRequest| self.about_token(&m.name, "name");
        let (caller, message) = self.admit(request, method, about)?;
        let asked = request_of(method, &message.request_id, &message)?;
        let id = token_name(&message.name, "name")?;
        let expected = expected(&message.etag, "etag")?;
        let secret = self.secret(Kind::Token);
        let (digest, last_four) = (secret.digest(), secret.last_four());
        let done = self.execute(&caller, &message.name, asked, move |directory, now| {
            directory.token(id).ok_or(Rejection::NotFound)?;
            let command = token::Command::ReplaceSecret { expected, digest, last_four, now };
            let events = token::decide(directory.token_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Token(id, event)).collect())
        });
        match done.await?.repeat_of {
            Some(_) => self.show_token(id, ""),
            None => self.show_token(id, secret.reveal()),
        }
    }

    async fn delete_token(
        &self,
        request: Request<api::DeleteTokenRequest>,
    ) -> Result<Response<pbjson_types::Empty>, Status> {
        let method = "TokenService/DeleteToken";
        let about = |m: &api::DeleteTokenRequest| self.about_token(&m.name, "name");
        let (caller, message) = self.admit(request, method, about)?;
        let asked = request_of(method, &message.request_id, &message)?;
        let id = token_name(&message.name, "name")?;
        let expected = expected(&message.etag, "etag")?;
        self.execute(&caller, &message.name, asked, move |directory, _| {
            let command = token::Command::Delete { expected };
            let events = token::decide(directory.token_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Token(id, event)).collect())
        })
        .await?;
        Ok(Response::new(pbjson_types::Empty {}))
    }
}
