//! What a module may reach: nothing but its arguments and the host's log. Everything else it names is refused by name.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::contract;

/// The imports of a component that this host doesn't provide, such as `wasi:clocks/wall-clock@0.2.0 {now}`.
pub(super) fn foreign(engine: &Engine, component: &Component) -> Vec<String> {
    let ty = component.component_type();
    ty.imports(engine).filter_map(|(name, item)| foreign_import(engine, name, &item.ty)).collect()
}

fn foreign_import(engine: &Engine, name: &str, item: &ComponentItem) -> Option<String> {
    match item {
        ComponentItem::Type(_) => None,
        ComponentItem::ComponentInstance(instance) => {
            // An instance of nothing but types is a name for them: there is nothing to call.
            let functions: Vec<_> = instance
                .exports(engine)
                .filter(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
                .map(|(name, _)| name)
                .collect();
            let harmless = functions.is_empty() || contract::may_import(name);
            (!harmless).then(|| format!("{name} {{{}}}", functions.join(", ")))
        }
        _ => Some(name.to_owned()),
    }
}
