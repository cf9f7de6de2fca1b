//! Maintenance windows in their stored form.
//!
//! Must not know the administrative interface's form of a window.

use std::sync::Arc;

use bytes::Bytes;
use domain::aggregate::Stamp;
use domain::filter::Item;
use domain::id::MaintenanceId;
use domain::maintenance::{Event, Tag, Tags, Window, Windows};
use domain::time::Timestamp;

use super::control::{actor_from, actor_to};
use super::{Error, field, fixed};
use crate::proto::gander::stored::v1 as stored;
use stored::control_event::Kind;

/// The stored form of an event.
pub(super) fn event_to(event: &Event) -> Kind {
    match event {
        Event::Created { id, start, end, tags, forgotten } => {
            Kind::MaintenanceCreated(stored::MaintenanceCreated {
                id: id_to(*id),
                start_micros: start.as_micros(),
                end_micros: end.as_micros(),
                tags: tags_to(tags),
                forgotten: forgotten.iter().copied().map(id_to).collect(),
            })
        }
        Event::Ended { id, at } => Kind::MaintenanceEnded(stored::MaintenanceEnded {
            id: id_to(*id),
            at_micros: at.as_micros(),
        }),
    }
}

/// Reads that a window was made.
pub(super) fn created_from(made: stored::MaintenanceCreated) -> Result<Event, Error> {
    Ok(Event::Created {
        id: id_from(&made.id)?,
        start: Timestamp::from_micros(made.start_micros),
        end: Timestamp::from_micros(made.end_micros),
        tags: Arc::new(tags_from(made.tags)?),
        forgotten: made.forgotten.iter().map(|id| id_from(id)).collect::<Result<_, _>>()?,
    })
}

/// Reads that a window was ended.
pub(super) fn ended_from(ended: &stored::MaintenanceEnded) -> Result<Event, Error> {
    let at = Timestamp::from_micros(ended.at_micros);
    Ok(Event::Ended { id: id_from(&ended.id)?, at })
}

/// The stored form of the windows of a service.
pub(super) fn windows_to(windows: &Windows) -> Vec<stored::MaintenanceWindow> {
    let to = |window: &Window| stored::MaintenanceWindow {
        id: id_to(window.id),
        start_micros: window.start.as_micros(),
        end_micros: window.end.as_micros(),
        tags: tags_to(&window.tags),
        commit: window.made.sequence,
        created_at_micros: window.made.at.as_micros(),
        creator: Some(actor_to(window.made.actor)),
    };
    windows.iter().map(to).collect()
}

/// Reads the windows of a service.
pub(super) fn windows_from(windows: Vec<stored::MaintenanceWindow>) -> Result<Windows, Error> {
    let from = |window: stored::MaintenanceWindow| {
        let made = Stamp {
            sequence: window.commit,
            at: Timestamp::from_micros(window.created_at_micros),
            actor: actor_from(window.creator)?,
        };
        Ok(Window {
            id: id_from(&window.id)?,
            start: Timestamp::from_micros(window.start_micros),
            end: Timestamp::from_micros(window.end_micros),
            tags: Arc::new(tags_from(window.tags)?),
            made,
        })
    };
    windows.into_iter().map(from).collect()
}

/// The stored form of an id.
pub(super) fn id_to(id: MaintenanceId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// Reads an id.
pub(super) fn id_from(id: &[u8]) -> Result<MaintenanceId, Error> {
    fixed(id, "maintenance.id").map(MaintenanceId::from_bytes)
}

fn tags_to(tags: &Tags) -> Vec<stored::MaintenanceTag> {
    let to = |tag: &Tag| stored::MaintenanceTag {
        contains: tag.texts().iter().map(ToString::to_string).collect(),
    };
    tags.as_slice().iter().map(to).collect()
}

fn tags_from(tags: Vec<stored::MaintenanceTag>) -> Result<Tags, Error> {
    let from = |tag: stored::MaintenanceTag| {
        let texts = tag.contains.iter().map(|text| Item::parse(text));
        let texts = texts.collect::<Result<_, _>>().map_err(|_| field("maintenance.tag"))?;
        Tag::new(texts).map_err(|_| field("maintenance.tag"))
    };
    let tags = tags.into_iter().map(from).collect::<Result<_, _>>()?;
    Tags::new(tags).map_err(|_| field("maintenance.tags"))
}
