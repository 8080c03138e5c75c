//! SDK.

mod aggregate;
mod command;
mod context;
pub mod descriptor;
mod event;
#[cfg(target_arch = "wasm32")]
mod guest;
mod instance;
pub mod log;
mod rejection;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use everfold_sdk_macros::{CommandSet, EventSet, Rejection, data, state};
pub use {schemars, serde, serde_json};

pub use crate::aggregate::{Aggregate, State};
pub use crate::command::{CommandError, CommandSet, CommandType, EncodedCommand};
pub use crate::context::Context;
pub use crate::event::{
    EncodedEvent, EventError, EventKind, EventSet, EventType, IntoEvents, IntoUpcast, Upcast,
};
pub use crate::rejection::{Rejection, RejectionType};

/// All that a module's source needs: `use everfold_sdk::prelude::*;`
pub mod prelude {
    pub use serde_json::{Value, json};

    pub use crate::{Aggregate, CommandSet, Context, EventSet, Rejection, data, log, state};
}

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

/// Makes a module of one or more [`Aggregate`]s: `export!(Account);` or `export!(Account, Transfer);`, once, at the
/// root of the crate. The module's name and version are the crate's own.
///
/// On targets other than WebAssembly it makes nothing, so that tests run natively.
#[macro_export]
macro_rules! export {
    ($($aggregate:ty),+ $(,)?) => {
        const _: () = {
            $crate::__private::assert_distinct(&[$(<$aggregate as $crate::Aggregate>::TYPE),+]);

            #[cfg(target_arch = "wasm32")]
            pub struct Module;

            #[cfg(target_arch = "wasm32")]
            impl $crate::__private::Module for Module {
                const NAME: &'static str = env!("CARGO_PKG_NAME");
                const VERSION: &'static str = env!("CARGO_PKG_VERSION");
                const TYPES: &'static [$crate::__private::AggregateType] =
                    &[$($crate::__private::AggregateType::of::<$aggregate>()),+];
            }

            #[cfg(target_arch = "wasm32")]
            type Exports = $crate::__private::Glue<Module>;

            #[cfg(target_arch = "wasm32")]
            $crate::__private::bindings::export_component!(
                Exports with_types_in $crate::__private::bindings
            );
        };
    };
}
