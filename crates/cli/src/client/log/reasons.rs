//! Why a service did what it did, as a tree: filters, their conditions, what these found.
//!
//! Whatever came from outside is escaped. Must not know where reasons are from.

use wire::proto::gander::admin::v1 as api;

use super::super::names::Labels;
use super::words::{one_line, verdict};
use crate::out::{Colour, painted};

/// Conditions longer than this are not aligned.
const WIDEST: usize = 60;

/// Why a service did what it did.
pub fn reasons(labels: &Labels, service: &api::ServiceReasons) -> Vec<String> {
    let colour = match (service.trigger(), service.failed) {
        (_, true) => Colour::Red,
        (api::TriggerVerdict::Created, _) => Colour::Green,
        (api::TriggerVerdict::Suppressed, _) => Colour::Yellow,
        (api::TriggerVerdict::Unspecified | api::TriggerVerdict::Duplicate, _) => Colour::None,
    };
    let name = match service.service.as_str() {
        "" => "these filters".to_owned(),
        name => one_line(labels.of(name)),
    };
    let mut lines = vec![format!("{name}  {}", painted(&one_line(&verdict(service)), colour))];
    let covered = !service.maintenance_windows.is_empty();
    if covered && service.trigger() != api::TriggerVerdict::Suppressed {
        lines.push("  in maintenance: nothing would be triggered".to_owned());
    }
    for filter in &service.filters {
        lines.extend(tried(filter).into_iter().map(|line| format!("  {line}")));
    }
    lines
}

/// What a filter found.
fn tried(filter: &api::FilterReasons) -> Vec<String> {
    let verdict = match filter.verdict() {
        api::FilterVerdict::Unspecified => "trigger does not hold",
        api::FilterVerdict::Triggers => "trigger holds",
        api::FilterVerdict::AfterAnother => "trigger holds, but a filter before it decides",
        api::FilterVerdict::Resolves => "resolve holds",
        api::FilterVerdict::ResolvesNothing => {
            "resolve holds, but the payload has no value that names an episode"
        }
    };
    let mapped = match filter.mapped_value.as_str() {
        "" => String::new(),
        value => format!("  mapped to {}", quoted(value)),
    };
    let mut lines =
        vec![format!("filter {}  {verdict}{}", quoted(&filter.display_name), one_line(&mapped))];
    let triggers = filter.conditions.iter().map(|condition| (asks(condition), condition));
    let resolves = filter.resolve_condition.iter();
    let resolves = resolves.map(|condition| (format!("resolve: {}", asks(condition)), condition));
    let all: Vec<_> = triggers.chain(resolves).collect();
    let width = all.iter().map(|(asks, _)| asks.chars().count()).max().unwrap_or(0).min(WIDEST);
    for (asks, condition) in all {
        let holds = match condition.holds {
            true => painted("yes", Colour::Green),
            false => painted("no ", Colour::Red),
        };
        lines.push(format!("  {asks:<width$}  {holds}  {}", found(condition)));
    }
    lines
}

/// What a condition asks for.
fn asks(condition: &api::ConditionReasons) -> String {
    let key = if condition.key.is_empty() { "payload" } else { &condition.key };
    let texts: Vec<_> = condition.contains.iter().map(|text| quoted(text)).collect();
    format!("{} contains {}", one_line(key), texts.join(" + "))
}

/// What it found.
fn found(condition: &api::ConditionReasons) -> String {
    if condition.values == 0 {
        return "there is no such key in the payload".to_owned();
    }
    let of = match condition.values {
        1 => String::new(),
        values => format!(" among {values} values"),
    };
    let found = match condition.key.is_empty() {
        true => String::new(),
        false => format!("found {}{of}", quoted(&condition.found)),
    };
    match (condition.holds, found.as_str()) {
        (true, _) => found,
        (false, "") => format!("{} is missing", quoted(&condition.missing)),
        (false, found) => format!("{found}; {} is missing", quoted(&condition.missing)),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", one_line(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(key: &str, text: &str, holds: bool, found: &str) -> api::ConditionReasons {
        api::ConditionReasons {
            key: key.to_owned(),
            contains: vec![text.to_owned()],
            holds,
            values: u32::from(!found.is_empty()),
            found: found.to_owned(),
            missing: if holds { String::new() } else { text.to_owned() },
        }
    }

    #[test]
    fn why_nothing_matched_is_told_condition_by_condition() {
        let filter = api::FilterReasons {
            display_name: "alertmanager".to_owned(),
            conditions: vec![
                condition("status", "firing", true, "firing"),
                condition("labels.severity", "page", false, "warn\u{1b}[2J\n"),
                condition("labels.team", "a", false, ""),
            ],
            resolve_condition: Some(condition("status", "resolved", false, "firing")),
            ..Default::default()
        };
        let service = "teams/a/services/b".to_owned();
        let service = api::ServiceReasons { service, filters: vec![filter], ..Default::default() };
        let told = reasons(&Labels::default(), &service).join("\n");
        let expected = "\
teams/a/services/b  nothing matched
  filter \"alertmanager\"  trigger does not hold
    status contains \"firing\"             yes  found \"firing\"
    labels.severity contains \"page\"      no   found \"warn\\u{1b}[2J\\n\"; \"page\" is missing
    labels.team contains \"a\"             no   there is no such key in the payload
    resolve: status contains \"resolved\"  no   found \"firing\"; \"resolved\" is missing";
        assert_eq!(told, expected);
    }
}
