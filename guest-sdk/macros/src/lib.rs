//! The derives of `everfold-sdk`. Use them through that crate, which documents them by example.

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod commands;
mod docs;
mod events;
mod payload;
mod rejection;
#[cfg(test)]
mod tests;
mod wrappers;

/// Makes a struct or enum an aggregate's state: `Default`, `Serialize`, `Deserialize`, `JsonSchema` and `State`.
/// Its doc comment becomes the aggregate's description.
#[proc_macro_attribute]
pub fn state(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    finish(wrappers::no_arguments("state", arguments.into()).and_then(|()| wrappers::state(&item)))
}

/// Makes a struct or enum usable inside events, commands, states and rejections: `Serialize`, `Deserialize` and
/// `JsonSchema`. `serde`'s and `schemars`' own attributes work as ever.
#[proc_macro_attribute]
pub fn data(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    finish(wrappers::no_arguments("data", arguments.into()).map(|()| wrappers::data(&item)))
}

/// Makes an enum the events of an aggregate. A variant's name is the event type, its doc comment the description, its
/// fields the payload: named fields, one field of a `#[data]` type, or none (the payload is `{}`). Fields that a
/// payload has beyond these are passed over.
///
/// On a variant:
/// - `#[event(name = "AccountOpened")]`: another name for the event type;
/// - `#[event(renamed_from = "Created")]`: history may call it so, in any schema version;
/// - `#[event(version = 3, upcast(1 = opened_v1, 2 = opened_v2))]`: the schema version, 1 where it isn't said, with
///   one upcaster for each older version. An upcaster takes the old payload, as a `Value` or any type that can be
///   deserialized, and answers the next version's payload as a `Value`, or the events that the old one now stands for
///   as `Event`, `Option<Event>` or `Vec<Event>`.
///
/// On the enum:
/// - `#[events(retired("Migrated", 1 = migrated_v1))]`: an event type that is no longer there. The upcaster answers
///   the events that it now stands for: `Event`, `Option<Event>` or `Vec<Event>`;
/// - `#[events(rename_all_fields = "camelCase")]`: the case of all payloads' field names.
#[proc_macro_derive(EventSet, attributes(event, events, serde, schemars))]
pub fn event_set(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    finish(events::derive(&item))
}

/// Makes an enum the commands of an aggregate. A variant's name is the command, its doc comment the description, its
/// fields the payload: named fields, one field of a `#[data]` type, or none (the payload is `{}`). Fields that a
/// payload has beyond the named ones are refused: a misspelt optional field should not pass unseen.
///
/// `#[command(name = "OpenAccount")]` on a variant gives it another name; `#[commands(rename_all_fields =
/// "camelCase")]` on the enum sets the case of all payloads' field names.
#[proc_macro_derive(CommandSet, attributes(command, commands, serde, schemars))]
pub fn command_set(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    finish(commands::derive(&item))
}

/// Makes an enum the rejections of an aggregate. A variant's name in kebab case is the code, its doc comment the
/// description, its named fields the details: `Serialize` and `JsonSchema`, as `#[data]` types are.
///
/// `#[reject("the balance is {balance}")]` is the message, with fields in braces as in `format!`; without it, the
/// message is the code in words. `#[reject(code = "no-funds")]` is another code.
#[proc_macro_derive(Rejection, attributes(reject))]
pub fn rejection(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    finish(rejection::derive(&item))
}

fn finish(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}
