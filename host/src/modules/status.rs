//! What became of each file of the modules directory, for people.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::selection::{Fate, Selection};
use crate::model::Digest;
use crate::runtime::Module;

/// One file of the modules directory. A file whose new content was refused while its former content serves on is
/// listed twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModuleStatus {
    /// The file's name.
    pub file: String,
    /// Name of the module, once it's known.
    #[schema(required)]
    pub name: Option<String>,
    /// Version of the module.
    #[schema(required)]
    pub version: Option<String>,
    /// Digest of the module.
    #[schema(required)]
    pub digest: Option<Digest>,
    /// Its aggregate types.
    pub aggregates: Vec<String>,
    /// What became of it.
    #[serde(flatten)]
    pub state: ModuleState,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ModuleState {
    /// It serves commands.
    Active,
    /// Another file of the same module is newer.
    Superseded,
    /// It's not taken; what served before serves on.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// It isn't judged yet.
    Pending {
        /// What it waits for.
        reason: String,
    },
}

impl ModuleStatus {
    fn of_module(file: &str, module: &Module, state: ModuleState, now: OffsetDateTime) -> Self {
        let descriptor = module.descriptor();
        Self {
            file: file.to_owned(),
            name: Some(descriptor.name.clone()),
            version: Some(descriptor.version.clone()),
            digest: Some(module.digest()),
            aggregates: descriptor.aggregates.iter().map(|aggregate| aggregate.aggregate_type.clone()).collect(),
            state,
            since: now,
        }
    }

    /// A file that is no module that could be selected.
    pub(super) fn of_file(file: &str, module: Option<&Module>, state: ModuleState, now: OffsetDateTime) -> Self {
        match module {
            Some(module) => Self::of_module(file, module, state, now),
            None => Self {
                file: file.to_owned(),
                name: None,
                version: None,
                digest: None,
                aggregates: Vec::new(),
                state,
                since: now,
            },
        }
    }

    /// The modules that a selection was made from.
    pub(super) fn of_selection(selection: &Selection, now: OffsetDateTime) -> impl Iterator<Item = Self> {
        selection.fates.iter().map(move |(candidate, fate)| {
            let state = match fate {
                Fate::Active => ModuleState::Active,
                Fate::Superseded => ModuleState::Superseded,
                Fate::Refused(reason) => ModuleState::Refused { reason: reason.clone() },
            };
            Self::of_module(&candidate.file, &candidate.module, state, now)
        })
    }

    /// Keeps the time of what hasn't changed since the last look, and answers whether it's that.
    pub(super) fn keep_time(&mut self, before: &[Self]) -> bool {
        let same = |old: &&Self| (&old.file, &old.digest, &old.state) == (&self.file, &self.digest, &self.state);
        let old = before.iter().find(same);
        self.since = old.map_or(self.since, |old| old.since);
        old.is_some()
    }
}
