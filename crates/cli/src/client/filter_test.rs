//! `gander filter test`: filters tried on payloads, without any effect; a file of tests for a
//! repository.
//!
//! Must not know what filters match: the server tells why.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::catalog_service_client::CatalogServiceClient;

use super::commands::{Expected, FilterTestArgs};
use super::log::reasons;
use super::names::Labels;
use super::{Authorized, Connect, Output, Usage, names, read_payload};
use crate::out::{harmless, json, json_line, say};

/// A file of tests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tests {
    /// The service whose filters are tried.
    service: Option<String>,
    /// A file with the filters that are tried, beside this one.
    filters: Option<PathBuf>,
    /// The tests.
    #[serde(default, rename = "case")]
    cases: Vec<Case>,
}

/// A payload and what is to come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it is called; the payload's file where nothing is said.
    name: Option<String>,
    /// The file with the payload, beside this one.
    payload: Option<PathBuf>,
    /// The payload itself.
    text: Option<String>,
    /// The source.
    #[serde(default)]
    from: String,
    /// What is to come of it.
    expect: Expected,
    /// The name of the filter that is to do it.
    filter: Option<String>,
    /// The mapped value that is to be found.
    mapped_value: Option<String>,
    /// The title of the incident that is to be created.
    title: Option<String>,
}

/// Carries it out: tries one payload, or all of a file.
pub async fn run(connect: &Connect, args: &FilterTestArgs) -> anyhow::Result<()> {
    let channel = connect.open().await?;
    let labels = Labels::read(&channel).await?;
    match (&args.file, &args.payload) {
        (Some(file), _) => all(connect, &channel, &labels, args, file).await,
        (None, Some(payload)) => one(connect, &channel, &labels, args, payload).await,
        (None, None) => Err(Usage("say --payload or --file").into()),
    }
}

/// Reads a file of tests.
///
/// # Errors
/// It is none.
pub fn tests(text: &str) -> Result<Tests, toml::de::Error> {
    toml::from_str(text)
}

async fn one(
    connect: &Connect,
    channel: &Authorized,
    labels: &Labels,
    args: &FilterTestArgs,
    payload: &Path,
) -> anyhow::Result<()> {
    let payload = read_payload(payload)?;
    let filters = args.filters.as_deref().map(filters).transpose()?.unwrap_or_default();
    let service = named(channel, args.service.as_deref()).await?;
    let from = args.from.clone().unwrap_or_default();
    let request = api::TestFilterRequest { service, filters, payload: payload.into(), from };
    let answer = tried(channel, request).await?;
    match connect.output {
        Output::Json => say(&json(&answer)?),
        Output::Table => tell(labels, &answer),
    }
    match args.expect {
        Some(expected) => {
            ensure!(!idle(&answer, expected), "the service is disabled");
            let (wanted, came) = (expected.as_str(), came(&answer));
            ensure!(came_to(&answer, expected), "expected {wanted}, but {came}")
        }
        None => ensure!(!came_to(&answer, Expected::Nothing), "no filter matches"),
    }
    Ok(())
}

async fn all(
    connect: &Connect,
    channel: &Authorized,
    labels: &Labels,
    args: &FilterTestArgs,
    file: &Path,
) -> anyhow::Result<()> {
    let at = || format!("in {}", file.display());
    let text = String::from_utf8(read_payload(file)?).with_context(at)?;
    let tests = tests(&text).with_context(at)?;
    ensure!(!tests.cases.is_empty(), "{} has no [[case]]", file.display());
    let folder = file.parent().unwrap_or(Path::new("."));
    let proposed = match (&args.filters, &tests.filters) {
        (Some(path), _) => filters(path)?,
        (None, Some(path)) => filters(&folder.join(path))?,
        (None, None) => vec![],
    };
    let service = args.service.as_deref().or(tests.service.as_deref());
    let service = named(channel, service).await?;
    let mut failed = 0;
    for (n, case) in tests.cases.iter().enumerate() {
        let request = api::TestFilterRequest {
            service: service.clone(),
            filters: proposed.clone(),
            payload: case.payload(folder).with_context(|| case.called(n))?.into(),
            from: case.from.clone(),
        };
        let answer = tried(channel, request).await.with_context(|| case.called(n))?;
        let wrong = case.wrong(&answer);
        failed += usize::from(!wrong.is_empty());
        if connect.output == Output::Json {
            let line =
                serde_json::json!({"case": case.called(n), "wrong": wrong, "answer": answer});
            say(&json_line(&line)?);
            continue;
        }
        match wrong.as_slice() {
            [] => say(&format!("ok    {}", harmless(&case.called(n)))),
            wrong => {
                let told = format!("{}: {}", case.called(n), wrong.join("; "));
                say(&format!("FAIL  {}", harmless(&told)));
                tell(labels, &answer);
            }
        }
    }
    let count = tests.cases.len();
    ensure!(failed == 0, "{failed} of {count} cases are not as expected");
    if connect.output == Output::Table {
        say(&format!("all {count} cases are as expected"));
    }
    Ok(())
}

impl Case {
    fn called(&self, n: usize) -> String {
        let file = self.payload.as_ref().map(|path| path.display().to_string());
        self.name.clone().or(file).unwrap_or_else(|| format!("case {}", n + 1))
    }

    fn payload(&self, folder: &Path) -> anyhow::Result<Vec<u8>> {
        match (&self.payload, &self.text) {
            (Some(path), None) => read_payload(&folder.join(path)),
            (None, Some(text)) => Ok(text.clone().into_bytes()),
            (Some(_), Some(_)) | (None, None) => anyhow::bail!("it needs either payload or text"),
        }
    }

    /// What is not as expected.
    fn wrong(&self, answer: &api::TestFilterResponse) -> Vec<String> {
        let mut wrong = Vec::new();
        if !came_to(answer, self.expect) {
            wrong.push(format!("expected {}, but {}", self.expect.as_str(), came(answer)));
        }
        if idle(answer, self.expect) {
            wrong.push("the service is disabled".to_owned());
        }
        let decides = deciding(answer, self.expect);
        let name = decides.map(|filter| filter.display_name.as_str()).unwrap_or_default();
        if let Some(wanted) = self.filter.as_ref().filter(|wanted| *wanted != name) {
            wrong.push(format!("expected filter {wanted:?}, but it is {name:?}"));
        }
        let value = decides.map(|filter| filter.mapped_value.as_str()).unwrap_or_default();
        if let Some(wanted) = self.mapped_value.as_ref().filter(|wanted| *wanted != value) {
            wrong.push(format!("expected the mapped value {wanted:?}, but it is {value:?}"));
        }
        if let Some(wanted) = self.title.as_ref().filter(|wanted| **wanted != answer.title) {
            wrong.push(format!("expected the title {wanted:?}, but it is {:?}", answer.title));
        }
        wrong
    }
}

/// What it came to.
fn came(answer: &api::TestFilterResponse) -> &'static str {
    let of = |expected| came_to(answer, expected);
    match () {
        () if of(Expected::Triggers) => "it triggers",
        () if of(Expected::Suppressed) => "it is suppressed",
        () if of(Expected::Resolves) => "it resolves",
        () => "nothing matches",
    }
}

/// Whether it came to what is expected.
fn came_to(answer: &api::TestFilterResponse, expected: Expected) -> bool {
    let reasons = answer.reasons.clone().unwrap_or_default();
    let resolves = |filter: &api::FilterReasons| filter.verdict() == api::FilterVerdict::Resolves;
    let resolves = reasons.filters.iter().any(resolves);
    match (expected, reasons.trigger()) {
        (Expected::Triggers, trigger) => trigger == api::TriggerVerdict::Created,
        (Expected::Suppressed, trigger) => trigger == api::TriggerVerdict::Suppressed,
        (Expected::Resolves, _) => resolves,
        (Expected::Nothing, trigger) => trigger == api::TriggerVerdict::Unspecified && !resolves,
    }
}

/// Whether something is expected of a service that is disabled: nothing comes of its filters.
fn idle(answer: &api::TestFilterResponse, expected: Expected) -> bool {
    answer.disabled && matches!(expected, Expected::Triggers | Expected::Resolves)
}

/// The filter that brings it about.
fn deciding(answer: &api::TestFilterResponse, expected: Expected) -> Option<&api::FilterReasons> {
    let wanted = match expected {
        Expected::Triggers | Expected::Suppressed => api::FilterVerdict::Triggers,
        Expected::Resolves => api::FilterVerdict::Resolves,
        Expected::Nothing => return None,
    };
    answer.reasons.as_ref()?.filters.iter().find(|filter| filter.verdict() == wanted)
}

fn tell(labels: &Labels, answer: &api::TestFilterResponse) {
    let reasons =
        reasons(labels, answer.reasons.as_ref().unwrap_or(&api::ServiceReasons::default()));
    reasons.iter().for_each(|line| say(&format!("  {}", line.trim_end())));
    if !answer.title.is_empty() {
        say(&format!("  the incident: {}", crate::out::harmless(&answer.title)));
    }
    if answer.disabled {
        say("  the service is disabled: nothing comes of it");
    }
}

async fn named(channel: &Authorized, service: Option<&str>) -> anyhow::Result<String> {
    match service {
        Some(service) => Ok(names::service(channel, service).await?.name),
        None => Ok(String::new()),
    }
}

async fn tried(
    channel: &Authorized,
    request: api::TestFilterRequest,
) -> anyhow::Result<api::TestFilterResponse> {
    if request.service.is_empty() && request.filters.is_empty() {
        return Err(Usage("say of which service, or --filters").into());
    }
    let mut client = CatalogServiceClient::new(channel.clone());
    Ok(client.test_filter(request).await?.into_inner())
}

/// Filters as `gander filter list --output json` shows them.
fn filters(path: &Path) -> anyhow::Result<Vec<api::Filter>> {
    let read = filters_in(&read_payload(path)?);
    read.with_context(|| format!("{} has no filters", path.display()))
}

/// None at all are no proposal: those of the service would be tried in their place.
fn filters_in(text: &[u8]) -> anyhow::Result<Vec<api::Filter>> {
    let read: Vec<_> = serde_json::from_slice(text)?;
    ensure!(!read.is_empty(), "the list is empty");
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_tests_is_read_and_nothing_in_it_is_passed_over() {
        let text =
            "service = \"Payments/Checkout\"\n[[case]]\ntext = \"{}\"\nexpect = \"nothing\"\n";
        let tests: Tests = toml::from_str(text).unwrap();
        assert_eq!((tests.cases.len(), tests.cases[0].expect), (1, Expected::Nothing));
        assert_eq!(tests.cases[0].called(0), "case 1");
        for wrong in
            ["[[case]]\nexpect = \"maybe\"\n", "[[case]]\nexpect = \"nothing\"\nfrmo = 1\n"]
        {
            assert!(toml::from_str::<Tests>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_differs_is_told() {
        let filter = api::FilterReasons {
            display_name: "am".to_owned(),
            verdict: api::FilterVerdict::Triggers.into(),
            mapped_value: "disk".to_owned(),
            ..Default::default()
        };
        let trigger = api::TriggerVerdict::Created.into();
        let reasons =
            Some(api::ServiceReasons { filters: vec![filter], trigger, ..Default::default() });
        let answer =
            api::TestFilterResponse { reasons, title: "t".to_owned(), ..Default::default() };
        let case = |expect, filter: Option<&str>, mapped: Option<&str>| Case {
            name: None,
            payload: None,
            text: None,
            from: String::new(),
            expect,
            filter: filter.map(str::to_owned),
            mapped_value: mapped.map(str::to_owned),
            title: None,
        };
        let fine = case(Expected::Triggers, Some("am"), Some("disk"));
        assert!(fine.wrong(&answer).is_empty());
        assert_eq!(case(Expected::Triggers, Some("x"), Some("y")).wrong(&answer).len(), 2);
        assert_eq!(
            case(Expected::Nothing, None, None).wrong(&answer),
            ["expected nothing, but it triggers"]
        );
        assert_eq!(
            case(Expected::Resolves, None, None).wrong(&answer),
            ["expected resolves, but it triggers"]
        );
        let disabled = api::TestFilterResponse { disabled: true, ..answer };
        assert_eq!(fine.wrong(&disabled), ["the service is disabled"]);
        assert_eq!(
            case(Expected::Nothing, None, None).wrong(&disabled),
            ["expected nothing, but it triggers"]
        );
    }

    #[test]
    fn an_empty_list_is_no_proposal() {
        assert!(filters_in(b"[]").is_err());
        assert!(filters_in(b"{}").is_err());
        assert_eq!(filters_in(b"[{\"displayName\": \"am\"}]").unwrap().len(), 1);
    }
}
