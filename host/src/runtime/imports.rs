//! What a module may reach: nothing but its arguments and the host's log. Everything else it names is refused by name,
//! unless it's part of a virtual WASI that the module is allowed.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::{contract, wasi};

/// The imports of a component beyond what every module may have.
#[derive(Debug)]
pub(super) struct Foreign {
    /// Each with its functions, such as `wasi:clocks/wall-clock@0.2.0 {now}`.
    pub(super) imports: Vec<String>,
    /// Whether a virtual WASI has them all.
    pub(super) are_virtual: bool,
}

/// The imports of a component that this host doesn't give to every module; none where there are none.
pub(super) fn foreign(engine: &Engine, component: &Component) -> Option<Foreign> {
    let ty = component.component_type();
    let mut foreign = Foreign { imports: Vec::new(), are_virtual: true };
    for (name, item) in ty.imports(engine) {
        if let Some(import) = foreign_import(engine, name, &item.ty) {
            foreign.imports.push(import);
            foreign.are_virtual &= wasi::has(name);
        }
    }
    (!foreign.imports.is_empty()).then_some(foreign)
}

fn foreign_import(engine: &Engine, name: &str, item: &ComponentItem) -> Option<String> {
    match item {
        ComponentItem::Type(_) => None,
        ComponentItem::ComponentInstance(instance) => {
            // An instance of nothing but types is a name for them: there is nothing to call.
            let harmless = instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)));
            let functions: Vec<_> = instance
                .exports(engine)
                .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                .map(|(name, _)| name)
                .collect();
            let foreign = || format!("{name} {{{}}}", functions.join(", "));
            (!harmless && !contract::may_import(name)).then(foreign)
        }
        _ => Some(name.to_owned()),
    }
}
