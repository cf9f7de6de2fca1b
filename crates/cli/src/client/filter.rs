//! `gander filter`: filters are a field of their service.
//!
//! Must not know what filters match.

use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::catalog_service_client::CatalogServiceClient;
use wire::proto::gander::events::v1 as events;

use super::commands::{FilterArgs, FilterCommand, UrgencyArg};
use super::service::update;
use super::{Connect, NotFound, Usage, filter_test, names};

/// Carries it out.
pub async fn run(connect: &Connect, command: &FilterCommand) -> anyhow::Result<()> {
    let channel = connect.open().await?;
    let mut client = CatalogServiceClient::new(channel.clone());
    let service = match command {
        FilterCommand::Test(args) => return filter_test::run(connect, args).await,
        FilterCommand::List { service } => names::service(&channel, service).await?,
        FilterCommand::Add(args) => {
            let filter = filter(args)?;
            let mut service = names::service(&channel, &args.service).await?;
            service.filters.push(filter);
            update(&mut client, service, "filters").await?
        }
        FilterCommand::Remove { service: named, filter } => {
            let mut service = names::service(&channel, named).await?;
            let fits =
                |found: &api::Filter| names::is_named(filter, &found.id, &found.display_name);
            let Some(found) = service.filters.iter().position(fits) else {
                let text = format!("filter {filter:?}: see `gander filter list {named}`");
                return Err(NotFound(text).into());
            };
            service.filters.remove(found);
            update(&mut client, service, "filters").await?
        }
    };
    let head = [
        "FILTER",
        "NAME",
        "URGENCY",
        "WHEN",
        "MAP WITH",
        "RESOLVE WHEN",
        "RESOLVE WITH",
        "TITLE FROM",
    ];
    connect.output.show(&service.filters, &head, row)
}

fn filter(args: &FilterArgs) -> anyhow::Result<api::Filter> {
    let urgency = match args.urgency {
        UrgencyArg::High => events::Urgency::High,
        UrgencyArg::Low => events::Urgency::Low,
    };
    let resolve = match (&args.resolve_with, conditions(&args.resolve_when)?.as_slice()) {
        (Some(mapped_with), [condition]) => Some(api::Resolve {
            condition: Some(condition.clone()),
            mapped_with: mapped_with.clone(),
        }),
        (None, []) => None,
        _ => return Err(Usage("--resolve-when takes texts of one key").into()),
    };
    Ok(api::Filter {
        id: String::new(),
        display_name: args.name.clone(),
        trigger: Some(api::Trigger {
            urgency: urgency.into(),
            conditions: conditions(&args.when)?,
            title_from: args.title_from.clone().unwrap_or_default(),
            description_from: args.description_from.clone().unwrap_or_default(),
            map_with: args.map_with.clone().unwrap_or_default(),
        }),
        resolve,
    })
}

/// Conditions by key, in the order in which keys come first.
fn conditions(texts: &[String]) -> anyhow::Result<Vec<api::Condition>> {
    let mut conditions: Vec<api::Condition> = Vec::new();
    for text in texts {
        let Some((key, item)) = text.split_once('=') else {
            let rule = "write a condition as KEY=TEXT, or =TEXT for the whole payload";
            return Err(Usage(rule).into());
        };
        match conditions.iter_mut().find(|condition| condition.key == key) {
            Some(condition) => condition.contains.push(item.to_owned()),
            None => conditions
                .push(api::Condition { key: key.to_owned(), contains: vec![item.to_owned()] }),
        }
    }
    Ok(conditions)
}

fn shown(condition: &api::Condition) -> String {
    let key = if condition.key.is_empty() { "payload" } else { &condition.key };
    format!("{key} has {}", condition.contains.join(" + "))
}

fn row(filter: &api::Filter) -> Vec<String> {
    let trigger = filter.trigger.clone().unwrap_or_default();
    let when: Vec<_> = trigger.conditions.iter().map(shown).collect();
    let resolve = filter.resolve.as_ref();
    let resolve_when = resolve.and_then(|resolve| resolve.condition.as_ref());
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let urgency = trigger.urgency().as_str_name().trim_start_matches("URGENCY_").to_lowercase();
    vec![
        filter.id.clone(),
        filter.display_name.clone(),
        urgency,
        when.join(" and "),
        or_dash(&trigger.map_with),
        resolve_when.map_or("-".to_owned(), shown),
        or_dash(resolve.map_or("", |resolve| &resolve.mapped_with)),
        or_dash(&trigger.title_from),
    ]
}
