//! Who asks too often: 429 with Retry-After, by token and by address.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::alerts::{Answer, Sender, send};
use e2e::rig::{Plan, Rig};
use http::{Request, StatusCode};
use http_body_util::Full;

fn seconds(answer: &Answer) -> Option<u64> {
    answer.headers.get("retry-after")?.to_str().ok()?.parse().ok()
}

#[tokio::test]
async fn a_token_that_sends_too_much_is_told_when_to_go_on() -> anyhow::Result<()> {
    let args = ["--rate-limit-token", "1", "--rate-limit-token-burst", "3"].map(str::to_owned);
    let mut rig = Rig::planned(Plan { gateway_args: args.to_vec(), ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let loud = admin.token("loud", "").await?.secret;
    let quiet = admin.token("quiet", "").await?.secret;
    let gateway = rig.gateway()?;
    let refused = e2e::wait::eventually("the token to be limited", async || {
        let answer = send(gateway, &loud, "{}").await.ok()?;
        (answer.status != StatusCode::ACCEPTED).then_some(answer)
    })
    .await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"));
    assert_eq!(seconds(&refused), Some(1));
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    assert_eq!(send(gateway, &quiet, "{}").await?.status, StatusCode::ACCEPTED);
    e2e::wait::eventually("the token to go on", async || {
        let answer = send(gateway, &loud, "{}").await.ok()?;
        (answer.status == StatusCode::ACCEPTED).then_some(())
    })
    .await
}

#[tokio::test]
async fn who_guesses_is_slowed_down_and_a_good_token_behind_the_same_address_is_not()
-> anyhow::Result<()> {
    let args = ["--rate-limit-refused", "1", "--trusted-proxies", "127.0.0.0/8,::1"];
    let args = args.map(str::to_owned).to_vec();
    let mut rig = Rig::planned(Plan { gateway_args: args, ..Plan::default() }).await?;
    let token = rig.first_admin().await?.token("good", "").await?.secret;
    let gateway = rig.gateway()?;
    let sender = Sender::default();
    let from = async |address: &str, token: &str| {
        let password = BASE64_STANDARD.encode(format!("anybody:{token}"));
        let request = Request::post(format!("http://{gateway}/v1/process"))
            .header("authorization", format!("Basic {password}"))
            // What stands on the left anybody can write.
            .header("x-forwarded-for", format!("192.0.2.77, {address}"));
        sender.request(request.body(Full::default())?).await
    };
    let refused = e2e::wait::eventually("the address to be slowed down", async || {
        let answer = from("203.0.113.1", "wrong").await.ok()?;
        (answer.status != StatusCode::UNAUTHORIZED).then_some(answer)
    })
    .await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"));
    assert_eq!(seconds(&refused), Some(1));
    assert_eq!(from("203.0.113.1", &token).await?.status, StatusCode::ACCEPTED);
    assert_eq!(from("203.0.113.2", "wrong").await?.status, StatusCode::UNAUTHORIZED);
    Ok(())
}

#[tokio::test]
async fn who_is_no_trusted_proxy_cannot_say_where_a_request_comes_from() -> anyhow::Result<()> {
    let args = ["--rate-limit-refused", "1", "--trusted-proxies", "192.0.2.1"];
    let args = args.map(str::to_owned).to_vec();
    let mut rig = Rig::planned(Plan { gateway_args: args, ..Plan::default() }).await?;
    let gateway = rig.gateway()?;
    let sender = Sender::default();
    let mut host = 0_u16;
    let refused = e2e::wait::eventually("the one address to be slowed down", async || {
        host += 1;
        let request = Request::post(format!("http://{gateway}/v1/process"))
            .header("x-forwarded-for", format!("203.0.113.{}", host % 256));
        let answer = sender.request(request.body(Full::default()).ok()?).await.ok()?;
        (answer.status != StatusCode::UNAUTHORIZED).then_some(answer)
    })
    .await?;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    Ok(())
}
