//! The API log over gRPC and at the command line: lists, one entry, following, exports. What gateways
//! and workers write is put into the stream by the tests.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use domain::id::{AlertId, TokenId};
use e2e::admin::{Admin, filter};
use e2e::apilog::{Parts, call, came_to, fresh_id, reasons, token_id, unmatched};
use e2e::process::{Process, run};
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::eventually;
use tonic::{Code, Status, Streaming};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::stored::v1 as stored;
use wire::stored::apilog::Part;

use api::{ApiLogOutcome as Outcome, TriggerVerdict as Verdict};

/// A team with a service and a token, another token for everything, and where parts are put.
struct Stage {
    rig: Rig,
    admin: Admin,
    parts: Parts,
    team: api::Team,
    service: api::Service,
    token: TokenId,
    global: TokenId,
}

async fn stage() -> anyhow::Result<Stage> {
    let plan = Plan { gateways: 0, workers: 0, ..Plan::default() };
    let rig = Rig::planned(plan).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = token_id(&admin.token("monitor", &team.name).await?.name);
    let global = token_id(&admin.token("everything", "").await?.name);
    let parts = Parts::connect(&rig.nats_url()).await?;
    Ok(Stage { rig, admin, parts, team, service, token, global })
}

impl Stage {
    /// An entry of the token in which the service came to this.
    async fn entry(&self, verdict: Verdict) -> anyhow::Result<AlertId> {
        let services = vec![came_to(&self.service.name, verdict)];
        self.parts.entry(self.token, &self.team.name, services).await
    }

    async fn put(&self, alert: AlertId, part: Part) -> anyhow::Result<()> {
        self.parts.put(alert, self.token, part).await
    }

    /// Somebody with a role in the team.
    async fn observer(&self) -> anyhow::Result<(api::Principal, Admin)> {
        let role = format!("observer:{}", self.team.name);
        let made = self.admin.principal("kim", &[&role]).await?;
        let caller = Admin::connect(self.rig.grpc(), &made.credential).await?;
        Ok((made, caller))
    }
}

fn id(entry: &api::ApiLogEntry) -> String {
    entry.name.trim_start_matches("apiLogEntries/").to_owned()
}

fn ids(alerts: &[AlertId]) -> Vec<String> {
    alerts.iter().map(ToString::to_string).collect()
}

fn code<T>(result: Result<T, Status>) -> Option<Code> {
    result.err().map(|status| status.code())
}

/// Every page of a list.
pub async fn pages(
    admin: &Admin,
    filter: &api::ApiLogFilter,
    page_size: i32,
) -> Result<Vec<Vec<api::ApiLogEntry>>, Status> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let filter = Some(filter.clone());
        let request = api::ListApiLogEntriesRequest { filter, page_size, page_token };
        let page = admin.api_log().list_api_log_entries(request).await?.into_inner();
        all.push(page.api_log_entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

async fn listed(admin: &Admin, filter: &api::ApiLogFilter) -> Result<Vec<String>, Status> {
    let all = pages(admin, filter, 0).await?.into_iter().flatten();
    Ok(all.map(|entry| id(&entry)).collect())
}

async fn get(admin: &Admin, alert: AlertId) -> Result<api::ApiLogEntry, Status> {
    let request =
        api::GetApiLogEntryRequest { name: format!("apiLogEntries/{alert}"), ..Default::default() };
    Ok(admin.api_log().get_api_log_entry(request).await?.into_inner())
}

/// Entries of one token, of one team, or of one service.
fn by(name: &str, value: &str) -> api::ApiLogFilter {
    let (mut filter, value) = (api::ApiLogFilter::default(), value.to_owned());
    match name {
        "token" => filter.token = value,
        "team" => filter.team = value,
        _ => filter.service = value,
    }
    filter
}

#[tokio::test]
async fn entries_are_listed_newest_first_by_what_is_asked() -> anyhow::Result<()> {
    let stage = stage().await?;
    let nothing = api::ApiLogFilter::default();
    assert_eq!(listed(&stage.admin, &nothing).await?, Vec::<String>::new());
    let created = stage.entry(Verdict::Created).await?;
    let duplicate = stage.entry(Verdict::Duplicate).await?;
    let suppressed = stage.entry(Verdict::Suppressed).await?;
    let between = stage.admin.status().await?.time.unwrap_or_default();
    let unmatched = stage.entry(Verdict::Unspecified).await?;
    let refused = fresh_id();
    let problem = stored::CallPart { code: "rate_limited".to_owned(), ..call(429, 0) };
    stage.put(refused, Part::Call(problem)).await?;
    let pending = fresh_id();
    stage.put(pending, Part::Call(call(202, 0b10))).await?;
    // Without its call, an entry is where its reasons are.
    let lost = fresh_id();
    stage.put(lost, Part::Reasons(reasons(1, vec![]))).await?;
    let elsewhere = stage.parts.entry(stage.global, "", vec![]).await?;

    let admin = &stage.admin;
    let all = [elsewhere, lost, pending, refused, unmatched, suppressed, duplicate, created];
    assert_eq!(listed(admin, &nothing).await?, ids(&all));
    let by_two = pages(admin, &nothing, 2).await?;
    assert_eq!(by_two.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 2]);
    let flat: Vec<_> = by_two.into_iter().flatten().collect();
    assert_eq!(flat.iter().map(id).collect::<Vec<_>>(), ids(&all));
    let outcomes: Vec<_> = flat.iter().map(api::ApiLogEntry::outcome).collect();
    let expected = [
        Outcome::Unmatched,
        Outcome::Pending,
        Outcome::Pending,
        Outcome::Refused,
        Outcome::Unmatched,
        Outcome::Suppressed,
        Outcome::Duplicate,
        Outcome::Created,
    ];
    assert_eq!(outcomes, expected);
    let last = &flat[7];
    assert_eq!((last.token_display_name.as_str(), last.from.as_str()), ("monitor", "Alertmanager"));
    let request = last.request.clone().unwrap_or_default();
    assert!(request.headers.is_empty() && request.body.is_none(), "a list is short");
    assert!(last.services[0].filters.is_empty() && !last.services[0].triggered_incident.is_empty());

    let global = by("token", &format!("tokens/{}", stage.global));
    assert_eq!(listed(admin, &global).await?, ids(&[elsewhere]));
    let of_team = listed(admin, &by("team", &stage.team.name)).await?;
    assert_eq!(of_team, ids(&all[1..]));
    let reached = listed(admin, &by("service", &stage.service.name)).await?;
    assert_eq!(reached, ids(&[unmatched, suppressed, duplicate, created]));
    let some = vec![Outcome::Refused.into(), Outcome::Created.into()];
    let outcomes = api::ApiLogFilter { outcomes: some, ..Default::default() };
    assert_eq!(listed(admin, &outcomes).await?, ids(&[refused, created]));
    let since = api::ApiLogFilter { start_time: Some(between), ..Default::default() };
    assert_eq!(listed(admin, &since).await?, ids(&all[..5]));
    let until = api::ApiLogFilter { end_time: Some(between), ..Default::default() };
    assert_eq!(listed(admin, &until).await?, ids(&all[5..]));
    let wrong = api::ApiLogFilter { outcomes: vec![99], ..Default::default() };
    assert_eq!(code(listed(admin, &wrong).await), Some(Code::InvalidArgument));
    Ok(())
}

#[tokio::test]
async fn an_entry_says_what_is_missing_and_what_is_written_again_counts() -> anyhow::Result<()> {
    let stage = stage().await?;
    let (alert, service) = (fresh_id(), &stage.service.name);
    assert_eq!(code(get(&stage.admin, alert).await), Some(Code::NotFound));
    let first = stored::ReasonsPart {
        last: false,
        unmatched: unmatched(250).into(),
        unmatched_count: 300,
        ..reasons(0, vec![came_to(service, Verdict::Unspecified)])
    };
    stage.put(alert, Part::Reasons(first.clone())).await?;
    let entry = get(&stage.admin, alert).await?;
    let missing = entry.missing.clone().unwrap_or_default();
    assert_eq!((missing.call, missing.partitions), (true, vec![0]));
    assert_eq!((entry.outcome(), entry.request.clone()), (Outcome::Pending, None));
    assert_eq!(entry.unmatched_count, 301);

    stage.put(alert, Part::Call(call(202, 0b1001))).await?;
    let missing = get(&stage.admin, alert).await?.missing.unwrap_or_default();
    assert_eq!((missing.call, missing.partitions), (false, vec![0, 3]));
    // The first part is written again: a filter was changed meanwhile.
    let again = came_to(service, Verdict::Created);
    let rewritten = stored::ReasonsPart { services: vec![again], ..first };
    stage.put(alert, Part::Reasons(rewritten)).await?;
    let after = stored::ReasonsPart { after: unmatched(1).into(), ..reasons(0, vec![]) };
    stage.put(alert, Part::Reasons(after)).await?;
    stage.put(alert, Part::Reasons(reasons(3, vec![]))).await?;
    let entry = get(&stage.admin, alert).await?;
    assert_eq!((entry.missing.clone(), entry.outcome()), (None, Outcome::Created));
    assert_eq!((entry.services.len(), entry.services[0].trigger()), (1, Verdict::Created));
    assert_eq!(entry.unmatched_count, 300);
    // A worker that had lost the partition writes after the one that has it.
    let stale = came_to(service, Verdict::Duplicate);
    let newer = stored::ReasonsPart { epoch: 2, ..reasons(3, vec![]) };
    stage.put(alert, Part::Reasons(newer)).await?;
    stage.put(alert, Part::Reasons(reasons(3, vec![stale]))).await?;
    assert_eq!(get(&stage.admin, alert).await?, entry);
    let request = entry.request.unwrap_or_default();
    assert_eq!(request.body.as_deref(), Some("{\"status\": \"firing\"}".as_bytes()));
    assert_eq!(request.headers[0].name, "content-type");

    let mut page_token = String::new();
    let mut found = std::collections::BTreeSet::new();
    for size in [100, 100, 50] {
        let parent = format!("apiLogEntries/{alert}");
        let token = format!("tokens/{}", stage.token);
        let request = api::ListUnmatchedServicesRequest { parent, token, page_size: 0, page_token };
        let page = stage.admin.api_log().list_unmatched_services(request).await?.into_inner();
        assert_eq!(page.services.len(), size);
        found.extend(page.services);
        page_token = page.next_page_token;
    }
    assert!(page_token.is_empty() && found.len() == 250);
    assert!(found.iter().all(|name| name.starts_with("teams/-/services/")));
    Ok(())
}

#[tokio::test]
async fn an_entry_that_is_too_large_is_cut_and_says_so() -> anyhow::Result<()> {
    let stage = stage().await?;
    let alert = fresh_id();
    for partition in 0..8 {
        let service = format!("{}/services/{}", stage.team.name, fresh_id());
        let mut large = came_to(&service, Verdict::Suppressed);
        large.filters[0].display_name = "x".repeat(500_000);
        stage.put(alert, Part::Reasons(reasons(partition, vec![large]))).await?;
    }
    let mut sent = call(202, 0xff);
    sent.body = Some(vec![b'x'; 256 * 1024].into());
    stage.put(alert, Part::Call(sent)).await?;
    let entry = get(&stage.admin, alert).await?;
    assert!(entry.cut && entry.missing.is_none() && entry.services.len() == 4);
    assert_eq!((entry.left_out_count, entry.unmatched_count), (4, 0));
    assert!(prost::Message::encoded_len(&entry) < 3 * 1024 * 1024);
    let shown = pages(&stage.admin, &api::ApiLogFilter::default(), 0).await?;
    assert!(shown[0][0].cut && shown[0][0].services.len() == 4);
    Ok(())
}

#[tokio::test]
async fn a_call_that_was_stored_again_far_away_is_one_entry() -> anyhow::Result<()> {
    const APART: usize = 4_500;
    let stage = stage().await?;
    let of_team = stored::CallPart { target: stage.team.name.clone(), ..call(202, 1) };
    let refused = stored::CallPart { partitions: 0, status: 503, ..of_team.clone() };
    let created = stage.entry(Verdict::Created).await?;
    let unstored = fresh_id();
    stage.put(unstored, Part::Call(refused.clone())).await?;
    let others = (0..APART).map(|_| (fresh_id(), Part::Call(call(202, 0))));
    stage.parts.put_all(stage.global, others).await?;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    stage.put(created, Part::Call(of_team)).await?;
    stage.put(unstored, Part::Call(refused)).await?;
    let own = by("team", &stage.team.name);
    let found = pages(&stage.admin, &own, 0).await?.into_iter().flatten();
    let found: Vec<_> = found.map(|entry| (id(&entry), entry.outcome())).collect();
    let expected = [(unstored, Outcome::Refused), (created, Outcome::Created)];
    assert_eq!(found, expected.map(|(alert, outcome)| (alert.to_string(), outcome)));
    assert_eq!(exported(&stage.admin, &own).await?, ids(&[created, unstored]));
    Ok(())
}

#[tokio::test]
async fn ids_of_times_that_are_not_stored_are_not_found() -> anyhow::Result<()> {
    let stage = stage().await?;
    let known = stage.entry(Verdict::Created).await?;
    // Ten years later and before.
    for shift in [10_i64, -10].map(|years| years * 365 * 86_400 * 1_000) {
        let mut bytes = *known.as_bytes();
        let millis = bytes[..6].iter().fold(0_i64, |all, byte| all << 8 | i64::from(*byte));
        bytes[..6].copy_from_slice(&(millis + shift).to_be_bytes()[2..]);
        let moved = AlertId::from_bytes(bytes);
        let services = vec![came_to(&stage.service.name, Verdict::Created)];
        stage.put(moved, Part::Reasons(reasons(0, services))).await?;
        assert_eq!(code(get(&stage.admin, moved).await), Some(Code::NotFound));
    }
    // More at a time than one principal may: they wait for each other.
    let many = (0..20).map(|_| get(&stage.admin, known));
    futures::future::try_join_all(many).await?;
    Ok(())
}

type Tailing = Streaming<api::TailApiLogEntriesResponse>;

async fn tail(admin: &Admin, cursor: &str) -> Result<Tailing, Status> {
    let request = api::TailApiLogEntriesRequest { filter: None, cursor: cursor.to_owned() };
    Ok(admin.api_log().tail_api_log_entries(request).await?.into_inner())
}

/// The next entry, and where to resume after it.
async fn next(tail: &mut Tailing) -> Result<(api::ApiLogEntry, String), Status> {
    loop {
        let next = tail.message().await?;
        let next = next.ok_or_else(|| Status::unavailable("the tail has ended"))?;
        if let Some(entry) = next.entry {
            return Ok((entry, next.cursor));
        }
    }
}

#[tokio::test]
async fn a_tail_shows_entries_as_they_come_and_goes_on_by_cursor() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    stage.entry(Verdict::Created).await?;
    let mut following = tail(&stage.admin, "").await?;
    let first = following.message().await?.unwrap_or_default();
    assert!(first.entry.is_none() && !first.cursor.is_empty(), "{first:?}");
    let one = stage.entry(Verdict::Created).await?;
    let (entry, cursor) = next(&mut following).await?;
    assert_eq!((id(&entry), entry.missing.clone()), (one.to_string(), None));
    assert_eq!(entry, get(&stage.admin, one).await?, "all of it");

    // What lacks a part is told after a while, and again when it has come.
    let slow = fresh_id();
    stage.put(slow, Part::Call(call(202, 1))).await?;
    let (entry, before_slow) = next(&mut following).await?;
    assert_eq!((id(&entry), entry.outcome()), (slow.to_string(), Outcome::Pending));
    let services = vec![came_to(&stage.service.name, Verdict::Created)];
    stage.put(slow, Part::Reasons(reasons(0, services))).await?;
    let (entry, _) = next(&mut following).await?;
    assert_eq!((id(&entry), entry.outcome()), (slow.to_string(), Outcome::Created));

    stage.rig.kill(Role::Admin).await?;
    let two = stage.entry(Verdict::Duplicate).await?;
    stage.rig.restart(Role::Admin).await?;
    stage.admin = Admin::connect(stage.rig.grpc(), &stage.admin.credential).await?;
    let mut resumed = tail(&stage.admin, &cursor).await?;
    assert_eq!(id(&next(&mut resumed).await?.0), slow.to_string());
    assert_eq!(id(&next(&mut resumed).await?.0), two.to_string());
    // Its call is before this cursor, and is found all the same.
    let mut resumed = tail(&stage.admin, &before_slow).await?;
    let mut seen = [next(&mut resumed).await?.0, next(&mut resumed).await?.0];
    seen.sort_by_key(id);
    assert_eq!(seen.each_ref().map(id), [slow.to_string(), two.to_string()]);
    assert!(seen.iter().all(|entry| entry.missing.is_none()));
    for wrong in ["ffffff", "x"] {
        assert_eq!(code(tail(&stage.admin, wrong).await), Some(Code::InvalidArgument));
    }
    Ok(())
}

#[tokio::test]
async fn a_tail_that_takes_nothing_holds_nothing_up_and_learns_what_it_missed() -> anyhow::Result<()>
{
    const ENTRIES: usize = 60;
    let stage = stage().await?;
    let mut slow = tail(&stage.admin, "").await?;
    let other = Admin::connect(stage.rig.grpc(), &stage.admin.credential).await?;
    let mut quick = tail(&other, "").await?;
    slow.message().await?;
    quick.message().await?;
    let mut body = call(202, 0);
    body.body = Some(vec![b'x'; 200_000].into());
    let mut alerts = Vec::new();
    for _ in 0..ENTRIES {
        let alert = fresh_id();
        stage.put(alert, Part::Call(body.clone())).await?;
        alerts.push(alert);
    }
    for alert in &alerts {
        assert_eq!(id(&next(&mut quick).await?.0), alert.to_string());
    }
    // Only when it has taken nothing for a while it misses any.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    let (mut seen, mut skipped, mut cursor) = (Vec::new(), 0, String::new());
    while seen.len() + skipped < ENTRIES {
        let message = slow.message().await?.unwrap_or_default();
        if message.skipped == 0 && skipped == 0 {
            cursor.clone_from(&message.cursor);
        }
        skipped += usize::try_from(message.skipped)?;
        seen.extend(message.entry);
    }
    assert!(skipped > 0 && seen.len() + skipped == ENTRIES, "{skipped} {}", seen.len());
    let mut missed = tail(&stage.admin, &cursor).await?;
    let before = seen.iter().map(id).zip(ids(&alerts)).take_while(|(a, b)| a == b).count();
    for alert in &alerts[before..] {
        assert_eq!(id(&next(&mut missed).await?.0), alert.to_string());
    }
    Ok(())
}

#[tokio::test]
async fn team_roles_see_entries_of_their_tokens_also_of_deleted_ones() -> anyhow::Result<()> {
    let stage = stage().await?;
    let (kim, observer) = stage.observer().await?;
    let own = stage.entry(Verdict::Created).await?;
    let other_team = stage.admin.team("other").await?;
    let other_token = token_id(&stage.admin.token("other", &other_team.name).await?.name);
    let other = stage.parts.entry(other_token, &other_team.name, vec![]).await?;
    let global = stage.parts.entry(stage.global, "", vec![]).await?;
    // A token that nobody remembers: the entry itself says what it reached.
    let unknown = TokenId::from_bytes(*fresh_id().as_bytes());
    let gone = stage.parts.entry(unknown, &stage.service.name, vec![]).await?;
    let nowhere = format!("{}/services/{}", other_team.name, fresh_id());
    stage.parts.entry(unknown, &nowhere, vec![]).await?;
    let name = format!("tokens/{}", stage.token);
    let delete = api::DeleteTokenRequest { name: name.clone(), ..Default::default() };
    stage.admin.tokens().delete_token(delete).await?;

    let all = api::ApiLogFilter::default();
    assert_eq!(listed(&observer, &all).await?, ids(&[gone, own]));
    assert_eq!(listed(&stage.admin, &all).await?.len(), 5);
    assert_eq!(get(&observer, own).await?.token_display_name, "", "it is deleted");
    for alert in [other, global, fresh_id()] {
        assert_eq!(code(get(&observer, alert).await), Some(Code::PermissionDenied));
    }
    let by_token = api::ApiLogFilter { token: name, ..Default::default() };
    assert_eq!(listed(&observer, &by_token).await?, ids(&[own]));
    for denied in [
        api::ApiLogFilter { token: format!("tokens/{}", stage.global), ..Default::default() },
        api::ApiLogFilter { team: other_team.name.clone(), ..Default::default() },
        api::ApiLogFilter {
            service: format!("{}/services/{own}", other_team.name),
            ..Default::default()
        },
    ] {
        assert_eq!(code(listed(&observer, &denied).await), Some(Code::PermissionDenied));
    }
    assert_eq!(exported(&observer, &all).await?, ids(&[own, gone]));

    let mut following = tail(&observer, "0").await?;
    assert_eq!(id(&next(&mut following).await?.0), own.to_string());
    assert_eq!(id(&next(&mut following).await?.0), gone.to_string());
    let gone = api::DeletePrincipalRequest { name: kim.name, ..Default::default() };
    stage.admin.principals().delete_principal(gone).await?;
    stage.entry(Verdict::Created).await?;
    assert_eq!(code(next(&mut following).await), Some(Code::Unauthenticated));
    Ok(())
}

async fn exported(admin: &Admin, filter: &api::ApiLogFilter) -> Result<Vec<String>, Status> {
    let request = api::ExportApiLogEntriesRequest { filter: Some(filter.clone()) };
    let mut entries = admin.api_log().export_api_log_entries(request).await?.into_inner();
    let mut all = Vec::new();
    while let Some(answer) = entries.message().await? {
        all.push(id(&answer.entry.unwrap_or_default()));
    }
    Ok(all)
}

#[tokio::test]
async fn an_export_of_many_entries_needs_little_memory() -> anyhow::Result<()> {
    const ENTRIES: usize = 2_500;
    let mut stage = stage().await?;
    let services = vec![came_to(&stage.service.name, Verdict::Created)];
    let mut call = call(202, 1);
    call.target.clone_from(&stage.team.name);
    call.body = Some(vec![b'x'; 40_000].into());
    let mut alerts: Vec<_> = (0..ENTRIES).map(|_| fresh_id()).collect();
    for some in alerts.chunks(100) {
        let parts = some.iter().flat_map(|alert| {
            let why = Part::Reasons(reasons(0, services.clone()));
            [(*alert, why), (*alert, Part::Call(call.clone()))]
        });
        stage.parts.put_all(stage.token, parts).await?;
    }
    // The last one lacks a part: it is not forgotten.
    let lacking = fresh_id();
    stage.put(lacking, Part::Call(call)).await?;
    alerts.push(lacking);
    let before = stage.rig.running(Role::Admin)?.process.resident()?;
    let request = api::ExportApiLogEntriesRequest::default();
    let mut entries = stage.admin.api_log().export_api_log_entries(request).await?.into_inner();
    let (mut found, mut most) = (Vec::new(), 0);
    while let Some(answer) = entries.message().await? {
        let entry = answer.entry.unwrap_or_default();
        assert_eq!(entry.missing.is_some(), id(&entry) == lacking.to_string());
        found.push(id(&entry));
        if found.len() % 500 == 0 {
            most = most.max(stage.rig.running(Role::Admin)?.process.resident()?);
        }
    }
    assert_eq!(found, ids(&alerts), "each once, oldest first");
    println!("{before} KiB before, {most} KiB at most");
    assert!(most < before + 64 * 1024, "{before} KiB before, {most} KiB at most");

    let filter = api::ApiLogFilter::default();
    let mut newest_first = alerts;
    newest_first.reverse();
    let listed = pages(&stage.admin, &filter, 1_000).await?.concat();
    assert_eq!(listed.iter().map(id).collect::<Vec<_>>(), ids(&newest_first));
    Ok(())
}

#[tokio::test]
async fn a_person_reads_the_log_with_the_command_line() -> anyhow::Result<()> {
    let stage = stage().await?;
    let created = stage.entry(Verdict::Created).await?;
    let unmatched = stage.entry(Verdict::Unspecified).await?;
    let file = stage.rig.folder().join("credential");
    std::fs::write(&file, &stage.admin.credential)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    let (server, file) = (format!("http://{}", stage.rig.grpc()), file.display().to_string());
    let folder = stage.rig.folder().to_owned();
    let told = async |line: &str| {
        let mut args = vec!["--server", &server, "--credential-file", &file, "log"];
        args.extend(line.split_whitespace());
        run(&folder, None, &args).await
    };
    for (line, says) in [
        ("list --token monitor", "Payments/Checkout: incident"),
        ("list --service Payments/Checkout --since 1h", "nothing matched in 1 service"),
        ("list --team Payments --outcome unmatched", &unmatched.to_string()),
        (&format!("get {created}"), "trigger does not hold"),
        (
            &format!("get {unmatched} --token monitor"),
            "status contains \"firing\"  no   found \"warn\\u{1b}[2J\"; \"firing\" is missing",
        ),
        (&format!("get {unmatched}"), "POST /v1/process?from=Alertmanager  from 127.0.0.1:40000"),
        (&format!("get {created} --output json"), "\"API_LOG_OUTCOME_CREATED\""),
        (&format!("get {created} --body"), "{\"status\": \"firing\"}"),
        (&format!("get {created} --unmatched"), "SERVICE"),
        ("export --file log.jsonl", "2 entries are written to log.jsonl"),
        ("export --outcome created", &created.to_string()),
    ] {
        let (code, text) = told(line).await?;
        assert!(code == 0 && text.contains(says), "{line}: {code} {text}");
        assert!(!text.contains('\u{1b}'), "{line}: {text}");
    }
    let lines = std::fs::read_to_string(folder.join("log.jsonl"))?;
    let lines: Vec<serde_json::Value> =
        lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines[0]["name"], format!("apiLogEntries/{created}"));
    let mode = folder.join("log.jsonl").metadata()?.permissions().mode();
    assert_eq!((lines.len(), mode & 0o777), (2, 0o600));
    let (_, text) = told("list --outcome created").await?;
    assert!(!text.contains(&unmatched.to_string()), "{text}");
    for (line, code) in [
        ("list --outcome odd", 2),
        ("get nothing", 2),
        ("list --token nobody", 3),
        ("export --file log.jsonl", 1),
    ] {
        let (found, text) = told(line).await?;
        assert_eq!(found, code, "{line}: {text}");
    }

    let tail = ["--server", &server, "--credential-file", &file, "log", "tail", "--cursor", "0"];
    follows(&folder, &tail, [created, unmatched]).await
}

/// That a tail with these arguments shows both entries, of which the first was created.
async fn follows(folder: &Path, args: &[&str], entries: [AlertId; 2]) -> anyhow::Result<()> {
    let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
    let mut tail = Process::start(folder, "tail", &args)?;
    eventually("both entries", async || {
        let log = tail.log();
        entries.iter().all(|alert| log.contains(&alert.to_string())).then_some(())
    })
    .await?;
    assert!(tail.log().contains("created     202  "), "{}", tail.log());
    tail.kill().await
}
