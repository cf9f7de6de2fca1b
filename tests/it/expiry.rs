//! What has expired stays so: when the clock is set back, and when the journal is lost.

use e2e::admin::{Admin, request_id};
use e2e::alerts::send;
use e2e::clock::later;
use e2e::process::run;
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::eventually;
use http::StatusCode;
use tonic::Code;
use wire::proto::gander::admin::v1 as api;
use wire::timestamp::Timestamp;

use crate::upgrade::before;

/// An hour from now.
fn in_an_hour() -> anyhow::Result<Option<Timestamp>> {
    let at = std::time::SystemTime::UNIX_EPOCH.elapsed()? + std::time::Duration::from_secs(3_600);
    Ok(Some(Timestamp { seconds: i64::try_from(at.as_secs())?, nanos: 0 }))
}

async fn token(admin: &Admin, token: api::Token) -> Result<api::Token, tonic::Status> {
    let request =
        api::UpdateTokenRequest { token: Some(token), update_mask: None, request_id: request_id() };
    Ok(admin.tokens().update_token(request).await?.into_inner())
}

async fn principal(
    admin: &Admin,
    principal: api::Principal,
) -> Result<api::Principal, tonic::Status> {
    let request = api::UpdatePrincipalRequest {
        principal: Some(principal),
        update_mask: None,
        request_id: request_id(),
    };
    Ok(admin.principals().update_principal(request).await?.into_inner())
}

/// Who said that something has expired, and of what.
async fn told(admin: &Admin) -> anyhow::Result<Vec<(String, String)>> {
    let kinds = vec!["token.expired".to_owned(), "principal.expired".to_owned()];
    let request = api::ListAuditRecordsRequest { kinds, ..Default::default() };
    let page = admin.audit().list_audit_records(request).await?.into_inner();
    let mut told: Vec<_> =
        page.audit_records.into_iter().map(|record| (record.actor, record.resource)).collect();
    told.sort();
    Ok(told)
}

/// A running system with a token and a principal, which expire in an hour.
struct Stage {
    rig: Rig,
    admin: Admin,
    token: api::Token,
    principal: api::Principal,
}

impl Stage {
    async fn set(plan: Plan) -> anyhow::Result<Self> {
        let rig = Rig::planned(plan).await?;
        let admin = rig.first_admin().await?;
        let made = admin.token("monitor", "").await?;
        let expire_time = in_an_hour()?;
        let named = api::Token { name: made.name, expire_time, ..api::Token::default() };
        let token = api::Token { secret: made.secret, ..token(&admin, named).await? };
        let made = admin.principal("kim", &["global-admin"]).await?;
        let named = api::Principal { name: made.name, expire_time, ..api::Principal::default() };
        let credential = made.credential;
        let principal = api::Principal { credential, ..principal(&admin, named).await? };
        Ok(Self { rig, admin, token, principal })
    }

    /// Everything anew, two hours later, until the ends are stored. Gives who is to have said so, and of
    /// what: whether it was said once shows only later.
    async fn expires(&mut self) -> anyhow::Result<[(String, String); 2]> {
        self.rig.run_program(Some(later(self.rig.folder(), "+2h")?));
        self.again().await?;
        let by_system = |name: &str| ("system".to_owned(), name.to_owned());
        let expected = [by_system(&self.principal.name), by_system(&self.token.name)];
        eventually("the ends to be stored", async || {
            (told(&self.admin).await.ok()? == expected).then_some(())
        })
        .await?;
        Ok(expected)
    }

    /// Everything anew, with the clock that the rig has now.
    async fn again(&mut self) -> anyhow::Result<()> {
        for role in [Role::Admin, Role::Gateway(0), Role::Worker(0)] {
            self.rig.kill(role).await?;
        }
        for role in [Role::Admin, Role::Gateway(0), Role::Worker(0)] {
            self.rig.restart(role).await?;
        }
        self.admin = Admin::connect(self.rig.grpc(), &self.admin.credential).await?;
        Ok(())
    }

    /// What an alert is answered, and whether the credential opens.
    async fn let_in(&mut self) -> anyhow::Result<(StatusCode, bool)> {
        let answer = send(self.rig.gateway()?, &self.token.secret, "{}").await?;
        let kim = Admin::connect(self.rig.grpc(), &self.principal.credential).await?;
        let opened = kim.tokens().list_tokens(api::ListTokensRequest::default()).await;
        assert!(opened.as_ref().err().is_none_or(|status| status.code() == Code::Unauthenticated));
        Ok((answer.status, opened.is_ok()))
    }

    /// Whether they are shown as expired.
    async fn shown(&self) -> anyhow::Result<(bool, bool)> {
        let request = api::GetTokenRequest { name: self.token.name.clone() };
        let token = self.admin.tokens().get_token(request).await?.into_inner();
        let request = api::GetPrincipalRequest { name: self.principal.name.clone() };
        let principal = self.admin.principals().get_principal(request).await?.into_inner();
        Ok((token.expired, principal.expired))
    }

    /// They are out, and nothing brings them back.
    async fn stays_dead(&mut self) -> anyhow::Result<()> {
        assert_eq!(self.let_in().await?, (StatusCode::UNAUTHORIZED, false));
        assert_eq!(self.shown().await?, (true, true));
        let expire_time = in_an_hour()?;
        let longer = api::Token { etag: String::new(), expire_time, ..self.token.clone() };
        let refused = token(&self.admin, longer).await.err().map(|status| status.code());
        assert_eq!(refused, Some(Code::FailedPrecondition));
        assert!(self.admin.replace_secret(&self.token).await.is_err());
        let longer = api::Principal { etag: String::new(), expire_time, ..self.principal.clone() };
        let refused = principal(&self.admin, longer).await.err().map(|status| status.code());
        assert_eq!(refused, Some(Code::FailedPrecondition));
        let name = self.principal.name.clone();
        let request =
            api::ReplaceCredentialRequest { name, etag: String::new(), request_id: request_id() };
        let refused = self.admin.principals().replace_credential(request).await.err();
        assert_eq!(refused.map(|status| status.code()), Some(Code::FailedPrecondition));
        Ok(())
    }
}

#[tokio::test]
async fn what_has_expired_stays_so_when_the_clock_is_set_back() -> anyhow::Result<()> {
    let mut stage = Stage::set(Plan::default()).await?;
    assert_eq!(stage.let_in().await?, (StatusCode::ACCEPTED, true));
    assert_eq!((stage.shown().await?, told(&stage.admin).await?), ((false, false), vec![]));

    // The hour passes while all are down: its end is made up for, once.
    let expected = stage.expires().await?;
    stage.stays_dead().await?;
    stage.expires().await?;
    stage.stays_dead().await?;
    assert_eq!(told(&stage.admin).await?, expected);

    // The clock is right again, an hour before both expire.
    stage.rig.run_program(None);
    stage.again().await?;
    stage.stays_dead().await?;

    // The journal is lost, and read anew from the stream.
    stage.rig.kill(Role::Admin).await?;
    std::fs::remove_dir_all(stage.rig.journal())?;
    stage.rig.restart(Role::Admin).await?;
    stage.again().await?;
    stage.stays_dead().await?;
    assert_eq!(told(&stage.admin).await?, expected);
    Ok(())
}

#[tokio::test]
#[ignore = "needs the build before: `make upgrade`"]
async fn the_build_before_keeps_out_what_has_expired_and_changes_nothing_of_it()
-> anyhow::Result<()> {
    // The build before knows no keys.
    let mut stage = Stage::set(Plan { keys: false, ..Plan::default() }).await?;
    let expected = stage.expires().await?;
    stage.rig.run_program(Some(before()?));
    stage.again().await?;
    assert_eq!(stage.let_in().await?, (StatusCode::UNAUTHORIZED, false));
    let name = stage.token.name.clone();
    let renamed = api::Token { name, display_name: "old".to_owned(), ..api::Token::default() };
    token(&stage.admin, renamed).await?;

    stage.rig.run_program(None);
    stage.again().await?;
    stage.stays_dead().await?;
    assert_eq!(told(&stage.admin).await?, expected);
    // What the build before says was left is what this one takes from the same records.
    let (server, folder) = (format!("http://{}", stage.rig.grpc()), stage.rig.folder());
    runtime::secret_file::write(&folder.join("credential"), &stage.admin.credential)?;
    let verify = ["audit", "verify", "--server", &server, "--credential-file", "credential"];
    let (code, text) = run(folder, None, &verify).await?;
    assert_eq!(code, 0, "{text}");
    Ok(())
}
