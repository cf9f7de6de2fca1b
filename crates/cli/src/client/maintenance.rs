//! `gander maintenance`.
//!
//! Must not know what a maintenance window suppresses.

use runtime::clock::{Clock, SystemClock};
use wire::event::time;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::maintenance_service_client::MaintenanceServiceClient;

use super::commands::{MaintenanceArgs, MaintenanceCommand, StateArg};
use super::when::Point;
use super::{Authorized, Connect, names, request_id, shown_time};

/// Carries it out.
pub async fn run(connect: &Connect, command: &MaintenanceCommand) -> anyhow::Result<()> {
    let channel = connect.open().await?;
    let mut client = MaintenanceServiceClient::new(channel.clone());
    let window = match command {
        MaintenanceCommand::Create(args) => {
            let request = api::CreateMaintenanceRequest {
                parent: names::service(&channel, &args.service).await?.name,
                maintenance_window: Some(window(args, &SystemClock)),
                request_id: request_id(),
            };
            client.create_maintenance(request).await?.into_inner()
        }
        MaintenanceCommand::List { team, service, state } => {
            let parent = match service {
                Some(service) => names::service(&channel, service).await?.name,
                None => names::parent(&channel, team.as_deref()).await?,
            };
            let windows = names::maintenance_windows(&channel, &parent, wanted(*state)).await?;
            return show(connect, &channel, &windows).await;
        }
        MaintenanceCommand::Get { window } => {
            let name = names::maintenance_window(&channel, window).await?;
            client.get_maintenance(api::GetMaintenanceRequest { name }).await?.into_inner()
        }
        MaintenanceCommand::End { window } => {
            let name = names::maintenance_window(&channel, window).await?;
            let request = api::EndMaintenanceRequest { name, request_id: request_id() };
            client.end_maintenance(request).await?.into_inner()
        }
    };
    show(connect, &channel, &[window]).await
}

/// The window as it is asked for. One that begins now has no start: the clock of the server, which
/// judges what has passed, sets it.
fn window(args: &MaintenanceArgs, clock: &dyn Clock) -> api::MaintenanceWindow {
    let start = args.start.at(clock);
    let end = match (args.lasts, args.end) {
        (Some(span), _) => start.plus(span),
        (None, Some(end)) => end.at(clock),
        (None, None) => start,
    };
    api::MaintenanceWindow {
        start_time: (args.start != Point::Now).then(|| time(start)),
        end_time: Some(time(end)),
        tags: args.tags.iter().map(|text| tag(text)).collect(),
        ..api::MaintenanceWindow::default()
    }
}

/// Texts joined by commas; white space around them does not count. After a backslash a comma is a
/// comma, and a backslash a backslash.
fn tag(text: &str) -> api::MaintenanceTag {
    let mut contains = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let last = contains.last_mut().expect("it begins with one and only grows");
        match (character, characters.peek()) {
            ('\\', Some(&next @ (',' | '\\'))) => {
                last.push(next);
                characters.next();
            }
            (',', _) => contains.push(String::new()),
            (other, _) => last.push(other),
        }
    }
    let contains = contains.iter().map(|text| text.trim().to_owned()).collect();
    api::MaintenanceTag { contains }
}

const fn wanted(state: Option<StateArg>) -> api::MaintenanceState {
    match state {
        None => api::MaintenanceState::Unspecified,
        Some(StateArg::Upcoming) => api::MaintenanceState::Upcoming,
        Some(StateArg::Active) => api::MaintenanceState::Active,
        Some(StateArg::Ended) => api::MaintenanceState::Ended,
    }
}

async fn show(
    connect: &Connect,
    channel: &Authorized,
    windows: &[api::MaintenanceWindow],
) -> anyhow::Result<()> {
    let labels = names::Labels::read(channel).await?;
    let head = ["WINDOW", "SERVICE", "STATE", "START", "END", "TAGS"];
    connect.output.show(windows, &head, |window| {
        let state = window.state().as_str_name().trim_start_matches("MAINTENANCE_STATE_");
        vec![
            window.name.rsplit('/').next().unwrap_or_default().to_owned(),
            labels.of_maintenance(&window.name).to_owned(),
            state.to_lowercase(),
            shown_time(window.start_time.as_ref()),
            shown_time(window.end_time.as_ref()),
            shown_tags(&window.tags),
        ]
    })
}

fn shown_tags(tags: &[api::MaintenanceTag]) -> String {
    match tags {
        [] => "every alert".to_owned(),
        tags => tags.iter().map(|tag| tag.contains.join(" + ")).collect::<Vec<_>>().join(" or "),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, texts: &[&str]) {
        assert_eq!(tag(text).contains, texts, "{text}");
    }

    #[test]
    fn a_tag_is_texts_joined_by_commas() {
        check("db1", &["db1"]);
        check("db1,replica", &["db1", "replica"]);
        check(" db 1 , replica ", &["db 1", "replica"]);
        check(r"a\,b", &["a,b"]);
        check(r"a\\,b", &[r"a\", "b"]);
        check(r"C:\temp\", &[r"C:\temp\"]);
        check("a,,b", &["a", "", "b"]);
        check("", &[""]);
    }

    proptest! {
        #[test]
        fn any_texts_can_be_said(texts in prop::collection::vec(r"[a,\\]{1,5}", 1..4)) {
            let escape = |text: &String| text.replace('\\', r"\\").replace(',', r"\,");
            let said = texts.iter().map(escape).collect::<Vec<_>>().join(",");
            prop_assert_eq!(tag(&said).contains, texts);
        }
    }
}
