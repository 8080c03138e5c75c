//! Events as readers are shown them: as they are stored, or in their newest form.

use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::body::Event;
use super::problem::Problem;
use crate::model::RecordedEvent;
use crate::pipeline::{Form, NewestEvent, NewestEvents, Pipeline};

/// What became of a stored event that was asked for in its newest form.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "form", rename_all = "kebab-case")]
pub enum Upcast {
    /// It is stored in its newest form.
    Newest,
    /// The active module brought it into its newest form. An event that was split is shown as several entries in a
    /// row, with one position, version and id.
    Upcast {
        /// The stored event's type.
        event_type: String,
        /// The stored event's schema version.
        schema_version: u32,
        /// The place of this entry among those that the stored event stands for, from 0.
        index: usize,
        /// How many it stands for.
        count: usize,
    },
    /// No active module reads it: it is shown as it is stored.
    Unknown,
}

impl From<Form> for Upcast {
    fn from(form: Form) -> Self {
        match form {
            Form::Newest => Self::Newest,
            Form::Upcast { event_type, schema_version, index, count } => {
                Self::Upcast { event_type, schema_version, index, count }
            }
            Form::Unknown => Self::Unknown,
        }
    }
}

impl From<NewestEvent> for Event {
    fn from(NewestEvent { event, form }: NewestEvent) -> Self {
        Self { upcast: Some(form.into()), ..event.into() }
    }
}

/// Events ready to be shown.
pub(super) struct Shown {
    pub(super) events: Vec<Event>,
    /// Names the modules that had a say: other modules may show the same events otherwise.
    pub(super) modules: String,
}

/// The events, brought into their newest form where the caller asks for it.
pub(super) async fn show(
    pipeline: &Pipeline,
    events: Vec<RecordedEvent>,
    upcast: bool,
    deadline: Instant,
) -> Result<Shown, Problem> {
    if !upcast {
        return Ok(Shown { events: events.into_iter().map(Into::into).collect(), modules: String::new() });
    }
    let NewestEvents { events, modules } = pipeline.upcast(events, deadline).await?;
    let named = modules.into_iter().map(|(aggregate_type, digest)| match digest {
        Some(digest) => format!("{aggregate_type}={digest};"),
        None => format!("{aggregate_type};"),
    });
    Ok(Shown { modules: named.collect(), events: events.into_iter().map(Into::into).collect() })
}
