//! What goes wrong during a run: planned from the seed, done to the site, counted.

mod inject;
mod plan;

pub(crate) use self::inject::run;
pub(crate) use self::plan::{Kind, plan};
