//! Appends as the log's functions take them: an array for each parameter.

use std::collections::HashSet;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{Append, ExpectedVersion, NO_STREAM};

/// How the functions write the demands that aren't versions.
const ANY: i64 = -2;
const EXISTS: i64 = -3;

/// The appends of one call, column by column: one element per append, and one per event.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) tenant: Vec<&'a str>,
    pub(super) aggregate_type: Vec<&'a str>,
    pub(super) stream: Vec<&'a str>,
    pub(super) expected: Vec<i64>,
    pub(super) base_version: Vec<Option<i64>>,
    pub(super) base_event: Vec<Option<Uuid>>,
    pub(super) continues: Vec<bool>,
    pub(super) key: Vec<Option<&'a str>>,
    pub(super) fingerprint: Vec<Option<&'a [u8]>>,
    pub(super) rejection: Vec<Option<String>>,
    pub(super) module: Vec<Option<i32>>,
    pub(super) count: Vec<i32>,
    pub(super) event_id: Vec<Uuid>,
    pub(super) event_type: Vec<&'a str>,
    pub(super) schema_version: Vec<i32>,
    pub(super) payload: Vec<&'a str>,
    pub(super) metadata: Vec<&'a str>,
    pub(super) occurred_at: Vec<OffsetDateTime>,
}

impl<'a> Columns<'a> {
    /// The columns of these appends; `module` gives the number of an append's module.
    pub(super) fn of(appends: &[&'a Append], module: impl Fn(&Append) -> Option<i32>) -> Self {
        let mut columns = Self::default();
        for append in appends {
            columns.push(append, module(append));
        }
        columns
    }

    fn push(&mut self, append: &'a Append, module: Option<i32>) {
        self.tenant.push(append.stream.tenant.as_str());
        self.aggregate_type.push(append.stream.aggregate_type.as_str());
        self.stream.push(append.stream.stream_id.as_str());
        self.expected.push(match append.expected {
            ExpectedVersion::Any => ANY,
            ExpectedVersion::Exists => EXISTS,
            ExpectedVersion::NoStream => NO_STREAM,
            ExpectedVersion::Exact(version) => version,
        });
        self.base_version.push(append.base.map(|head| head.map_or(NO_STREAM, |head| head.version)));
        self.base_event.push(append.base.flatten().map(|head| head.event_id));
        self.continues.push(append.continues);
        self.key.push(append.receipt.as_ref().map(|receipt| receipt.key.as_str()));
        self.fingerprint.push(append.receipt.as_ref().map(|receipt| &receipt.fingerprint[..]));
        let rejection = append.rejection.as_ref();
        self.rejection
            .push(rejection.map(|rejection| serde_json::to_string(rejection).expect("a rejection is text and JSON")));
        self.module.push(module);
        self.count.push(i32::try_from(append.events.len()).expect("batches are capped far below"));
        for event in &append.events {
            self.event_id.push(event.event_id);
            self.event_type.push(&event.event_type);
            self.schema_version.push(i32::try_from(event.schema_version).unwrap_or(i32::MAX));
            self.payload.push(event.payload.as_str());
            self.metadata.push(event.metadata.as_str());
            self.occurred_at.push(event.occurred_at);
        }
    }
}

/// Whether no append has to do with another: each is of a stream of its own, and none continues one before.
pub(super) fn are_apart(appends: &[&Append]) -> bool {
    let mut streams = HashSet::with_capacity(appends.len());
    appends.iter().all(|append| !append.continues && streams.insert(&append.stream))
}
