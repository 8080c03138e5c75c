//! Texts of query strings: what they may hold, and what is said where they don't.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::limits::MAX_EVENT_TYPE_BYTES;
use super::problem::Problem;
use crate::model::{AggregateType, StreamId};

/// A time by RFC 3339.
pub(super) fn time(text: &str) -> Result<OffsetDateTime, Problem> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        Problem::invalid(format!(
            "the query string: {text:?} is no RFC 3339 time, such as 2026-01-02T03:04:05Z (send + as %2B)"
        ))
    })
}

/// Names of event types, separated by commas; none where there is no list.
pub(super) fn event_types(list: Option<&str>) -> Result<Vec<String>, Problem> {
    let check = |name: &str| match event_type_name(name) {
        Ok(()) => Ok(name.to_owned()),
        Err(reason) => Err(Problem::invalid(format!("the query string: an event type {reason}"))),
    };
    list.into_iter().flat_map(|list| list.split(',')).map(check).collect()
}

/// Names of aggregate types, separated by commas; none where there is no list.
pub(super) fn aggregate_types(list: Option<&str>) -> Result<Vec<String>, Problem> {
    let check = |name| Ok(AggregateType::new(name)?.into());
    list.into_iter().flat_map(|list| list.split(',')).map(check).collect()
}

/// What the ids of streams begin with: what no id can hold, no id begins with.
pub(super) fn prefix(text: Option<String>) -> Result<Option<String>, Problem> {
    if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
        StreamId::new(text).map_err(|error| Problem::invalid(format!("the query string: prefix: {error}")))?;
    }
    Ok(text)
}

/// Checks the name of an event type, and says what it may be.
pub(super) fn event_type_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_EVENT_TYPE_BYTES || name.chars().any(char::is_control) {
        return Err(format!("has 1 to {MAX_EVENT_TYPE_BYTES} bytes and no control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: std::fmt::Debug>(answer: Result<T, Problem>) -> String {
        let problem = answer.expect_err("must be refused");
        assert_eq!(problem.summary(), (400, "invalid"));
        problem.body().detail.clone()
    }

    #[test]
    fn lists_are_names_separated_by_commas() {
        assert_eq!(event_types(Some("a,b c")).expect("valid"), ["a", "b c"]);
        assert_eq!(event_types(None).expect("valid"), Vec::<String>::new());
        for list in ["", "a,,b", "a\0"] {
            assert!(refused(event_types(Some(list))).contains("control characters"), "{list:?}");
        }
        assert_eq!(aggregate_types(Some("a,b")).expect("valid"), ["a", "b"]);
        refused(aggregate_types(Some("a b")));
    }

    #[test]
    fn a_prefix_is_what_an_id_may_begin_with() {
        assert_eq!(prefix(Some(String::new())).expect("valid").as_deref(), Some(""));
        assert_eq!(prefix(Some("a/ë".into())).expect("valid").as_deref(), Some("a/ë"));
        refused(prefix(Some("a\0".into())));
    }

    #[test]
    fn a_plus_that_became_a_space_is_explained() {
        assert_eq!(time("2026-01-02T03:04:05Z").expect("valid").unix_timestamp(), 1_767_323_045);
        assert!(refused(time("2026-01-02T03:04:05 01:00")).contains("%2B"));
    }
}
