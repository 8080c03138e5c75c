//! What the tests share.

pub(crate) mod postgres;
pub(crate) mod proxy;
