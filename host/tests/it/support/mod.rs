//! What the tests share.

pub(crate) mod description;
pub(crate) mod guests;
pub(crate) mod host;
pub(crate) mod liar;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod proxy;
