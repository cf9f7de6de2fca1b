//! Tokens that are made, used, deleted, and tried again.
//!
//! Must not know how gateways learn of it.

use tonic::Status;
use wire::proto::gander::admin::v1 as api;

use super::commands::Caller;
use crate::admin::{payload, request_id};
use crate::alerts::Sender;

/// So often each gateway is tried with a token that was deleted.
const TRIES: usize = 2;

pub(super) async fn tokens(n: usize, service: String, caller: Caller) {
    // Connections that are there, so that a request begins with the first byte of its head.
    let sender = Sender::default();
    for made in 0.. {
        let Some(token) = create(&caller, &service, &format!("revoked {n} {made}")).await else {
            return;
        };
        let probe = payload("probe", &format!("probe-{n}"));
        // One that was made by a call whose answer was lost is not told again.
        let secret = token.secret;
        if !secret.is_empty() {
            for gateway in caller.shared.gateways() {
                let asked = tokio::time::Instant::now();
                let answer = sender.send(gateway, &secret, probe.clone()).await;
                caller.shared.told().answered(asked, &answer);
            }
        }
        if !delete(&caller, &token.name).await {
            return;
        }
        for gateway in caller.shared.gateways().repeat(TRIES) {
            if !secret.is_empty() {
                let answer = sender.send(gateway, &secret, probe.clone()).await;
                caller.shared.told().refused(&token.name, &answer);
            }
        }
        if !caller.shared.goes_on() {
            return;
        }
    }
}

pub(super) async fn create(caller: &Caller, service: &str, name: &str) -> Option<api::Token> {
    let token = api::Token {
        display_name: name.to_owned(),
        r#type: api::TokenType::Service.into(),
        target: service.to_owned(),
        ..api::Token::default()
    };
    let request = api::CreateTokenRequest { token: Some(token), request_id: request_id() };
    let call = |admin: crate::admin::Admin| {
        let request = request.clone();
        async move { Ok::<_, Status>(admin.tokens().create_token(request).await?.into_inner()) }
    };
    caller.until_done(call).await
}

pub(super) async fn delete(caller: &Caller, name: &str) -> bool {
    let (name, etag) = (name.to_owned(), String::new());
    let request = api::DeleteTokenRequest { name, etag, request_id: request_id() };
    let call = |admin: crate::admin::Admin| {
        let request = request.clone();
        async move { admin.tokens().delete_token(request).await.map(drop) }
    };
    caller.until_done(call).await.is_some()
}
