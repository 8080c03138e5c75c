//! The guest `counter`, written down a second time: what it decides, and what its events fold to.

use serde_json::{Value, json};

use super::log_model::Event;

/// What a counter holds.
#[derive(Debug, Default)]
pub(super) struct Counter {
    total: i64,
    note: Value,
    additions: u64,
}

/// A command that the counter declares, or that it should refuse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Order {
    Add(i64),
    Many(u32),
    /// Adds 1 if the stream is at this version.
    AddAt(i64),
    Nothing,
    Note(&'static str),
    /// Only the second version knows it.
    Double,
    /// A payload that no schema allows.
    Malformed,
    Undeclared,
}

/// What is decided on an order.
pub(super) enum Decision {
    /// Types, schema versions and payloads of new events; perhaps none.
    Events(Vec<(&'static str, u32, Value)>),
    /// The rejection's code and message.
    No(&'static str, String),
    Invalid,
    UnknownCommand,
}

impl Order {
    /// The command's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Add(_) | Self::Malformed => "Add",
            Self::Many(_) => "Many",
            Self::AddAt(_) => "AddAt",
            Self::Nothing => "Nothing",
            Self::Note(_) => "Note",
            Self::Double => "Double",
            Self::Undeclared => "Subtract",
        }
    }

    /// The command's payload.
    pub(super) fn payload(self) -> Value {
        match self {
            Self::Add(n) => json!({ "n": n }),
            Self::Many(n) => json!({ "n": n }),
            Self::AddAt(version) => json!({ "n": 1, "version": version }),
            Self::Note(text) => json!({ "text": text }),
            Self::Malformed => json!({ "n": "one" }),
            Self::Nothing | Self::Double | Self::Undeclared => json!({}),
        }
    }
}

impl Counter {
    /// The fold of these events.
    pub(super) fn of(events: &[Event]) -> Self {
        let mut counter = Self { note: Value::Null, ..Self::default() };
        for event in events {
            let payload = &event.payload;
            match (event.event_type.as_str(), event.schema_version) {
                ("Added", 1) => counter.add(payload["n"].as_i64().unwrap()),
                ("Reset", 1) if payload["held"] != 0 => counter.add(-payload["held"].as_i64().unwrap()),
                ("Reset", 1) => {}
                ("Noted", 2) => counter.note = payload["text"].clone(),
                ("Labelled" | "Noted", 1) => counter.note = payload["label"].clone(),
                other => panic!("no counter has such an event: {other:?}"),
            }
        }
        counter
    }

    fn add(&mut self, n: i64) {
        self.total = self.total.saturating_add(n);
        self.additions += 1;
    }

    /// The state as the module of this generation writes it.
    pub(super) fn state(&self, second: bool) -> Value {
        let mut state = json!({ "total": self.total, "note": self.note });
        if second {
            state["additions"] = self.additions.into();
        }
        state
    }

    /// What the module of this generation decides, on a stream at this version.
    pub(super) fn decide(&self, order: Order, version: i64, actor: Option<&str>, second: bool) -> Decision {
        let added = |n: i64| ("Added", 1, json!({ "n": n }));
        match order {
            Order::Add(n) => self.grow(n),
            Order::Many(n) => Decision::Events((0..n).map(|_| added(1)).collect()),
            Order::AddAt(at) if at != version => Decision::No("elsewhere", format!("the stream is at {version}")),
            Order::AddAt(_) => self.grow(1),
            Order::Nothing => Decision::Events(Vec::new()),
            Order::Note(text) => Decision::Events(vec![("Noted", 2, json!({ "text": text, "by": actor }))]),
            Order::Double if second => self.grow(self.total),
            Order::Malformed => Decision::Invalid,
            Order::Double | Order::Undeclared => Decision::UnknownCommand,
        }
    }

    fn grow(&self, n: i64) -> Decision {
        if self.total.saturating_add(n) < 0 {
            return Decision::No("below-zero", format!("{} and {n} is below zero", self.total));
        }
        Decision::Events(vec![("Added", 1, json!({ "n": n }))])
    }
}
