//! Rejections: the ways in which a domain says no.

use std::convert::Infallible;

/// The rejections of one aggregate. Derived with [`#[derive(Rejection)]`](macro@crate::Rejection). An aggregate that
/// takes every command has the rejection [`Infallible`].
pub trait Rejection: Sized + 'static {
    /// The rejections that are declared.
    const REJECTIONS: &'static [RejectionType];

    /// The stable code that callers act on, such as `insufficient-funds`.
    fn code(&self) -> &'static str;

    /// A sentence for people.
    fn message(&self) -> String;

    /// Further data, JSON.
    ///
    /// # Panics
    /// When the data has no JSON form, such as a map whose keys aren't strings.
    fn details(&self) -> Option<Vec<u8>>;
}

/// One declared rejection.
#[derive(Clone, Copy, Debug)]
pub struct RejectionType {
    /// The code.
    pub code: &'static str,
    /// When it is answered, for people: the variant's doc comment.
    pub description: Option<&'static str>,
    /// Makes the JSON Schema (2020-12) of the details, where there are any.
    pub details_schema: Option<fn() -> String>,
}

impl Rejection for Infallible {
    const REJECTIONS: &'static [RejectionType] = &[];

    fn code(&self) -> &'static str {
        match *self {}
    }

    fn message(&self) -> String {
        match *self {}
    }

    fn details(&self) -> Option<Vec<u8>> {
        match *self {}
    }
}
