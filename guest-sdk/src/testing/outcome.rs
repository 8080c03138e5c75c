//! What became of a command in a test, and the assertions on it.

use std::fmt::Write as _;

use super::replica::text;
use super::{History, command_id};
use crate::instance::DecideError;
use crate::{Aggregate, EncodedEvent, EventSet as _, Rejection as _};

/// A decided command. Each assertion that holds gives the stream with the answered events applied, for the next
/// command.
#[derive(Debug)]
#[must_use = "a decision that nothing is asserted of tests nothing: go on with `then`"]
pub struct Outcome<A: Aggregate> {
    history: History<A>,
    decided: Result<Vec<EncodedEvent>, DecideError>,
}

impl<A: Aggregate> Outcome<A> {
    pub(super) fn new(history: History<A>, decided: Result<Vec<EncodedEvent>, DecideError>) -> Self {
        Self { history, decided }
    }

    /// Asserts that the command was answered with exactly these events. They are compared as JSON, and need neither
    /// `PartialEq` nor `Debug`.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = A::Event>) -> History<A> {
        let expected: Vec<_> = events.into_iter().map(A::Event::encode).collect();
        match &self.decided {
            Ok(actual) if *actual == expected => self.accepted(),
            Ok(actual) => panic!("other events than expected\n{}", diff(&expected, actual)),
            Err(error) => panic!("expected events, but {}\n{}", describe(error), list('-', &expected)),
        }
    }

    /// Asserts that the command was accepted and answered with no events.
    #[track_caller]
    pub fn then_nothing(self) -> History<A> {
        self.then([])
    }

    /// Asserts that the command was rejected with this code.
    #[track_caller]
    pub fn then_rejected(self, expected: &str) -> History<A> {
        match &self.decided {
            Err(DecideError::Rejected { code, .. }) if *code == expected => self.refused(),
            decided => panic!("expected the rejection `{expected}`, but {}", outcome(decided)),
        }
    }

    /// Asserts that the command was rejected so, with the same code, message and details.
    #[track_caller]
    pub fn then_reject(self, expected: A::Rejection) -> History<A> {
        let expected =
            DecideError::Rejected { code: expected.code(), message: expected.message(), details: expected.details() };
        match &self.decided {
            Err(actual) if *actual == expected => self.refused(),
            decided => panic!("expected that it {}, but {}", describe(&expected), outcome(decided)),
        }
    }

    /// The stream after the answered events.
    #[track_caller]
    fn accepted(mut self) -> History<A> {
        for event in self.decided.iter().flatten() {
            self.history.replica.apply(event.kind.event_type, event.kind.schema_version, &event.payload);
        }
        self.refused()
    }

    /// The stream as it was; the next command is another one.
    fn refused(self) -> History<A> {
        self.history.with(|context| {
            context.seed += 1;
            context.command_id = command_id(context.seed);
        })
    }
}

fn outcome(decided: &Result<Vec<EncodedEvent>, DecideError>) -> String {
    match decided {
        Ok(events) if events.is_empty() => "it was accepted and answered no events".into(),
        Ok(events) => format!("it was accepted with\n{}", list('+', events)),
        Err(error) => describe(error),
    }
}

fn describe(error: &DecideError) -> String {
    match error {
        DecideError::Rejected { code, message, details } => {
            let details = details.as_deref().map(|details| format!(" {}", text(details)));
            format!("was rejected as `{code}`: {message}{}", details.unwrap_or_default())
        }
        DecideError::Command(error) => format!("could not be decoded: {error:?}"),
    }
}

/// Expected and actual side by side: `-` is missing, `+` is too many.
fn diff(expected: &[EncodedEvent], actual: &[EncodedEvent]) -> String {
    let mut lines = String::new();
    for i in 0..expected.len().max(actual.len()) {
        match (expected.get(i), actual.get(i)) {
            (Some(expected), Some(actual)) if expected == actual => lines += &list(' ', [expected]),
            (expected, actual) => {
                lines += &list('-', expected);
                lines += &list('+', actual);
            }
        }
    }
    lines
}

fn list<'a>(mark: char, events: impl IntoIterator<Item = &'a EncodedEvent>) -> String {
    events.into_iter().fold(String::new(), |mut lines, event| {
        writeln!(lines, "{mark} {} {}", event.kind.event_type, text(&event.payload)).expect("a String takes any text");
        lines
    })
}
