//! What the derives refuse, and how they say so.

use proc_macro2::TokenStream;
use syn::{DeriveInput, Result, parse_quote};

use crate::{commands, events, rejection, wrappers};

fn refused(derive: impl FnOnce(&DeriveInput) -> Result<TokenStream>, item: &DeriveInput, expected: &str) {
    let error = derive(item).expect_err("the item is refused").to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn each_older_version_needs_an_upcaster() {
    let expected = "version 2 needs an upcaster from the one before: `upcast(1 = function)`";
    refused(
        events::derive,
        &parse_quote!(
            enum E {
                #[event(version = 2)]
                A,
            }
        ),
        expected,
    );
    let expected = "version 3 needs one upcaster for each version before it";
    refused(
        events::derive,
        &parse_quote!(
            enum E {
                #[event(version = 3, upcast(1 = f))]
                A,
            }
        ),
        expected,
    );
    refused(
        events::derive,
        &parse_quote!(
            enum E {
                #[event(version = 3, upcast(1 = f, 1 = g))]
                A,
            }
        ),
        expected,
    );
    let expected = "is `version = …` missing?";
    refused(
        events::derive,
        &parse_quote!(
            enum E {
                #[event(upcast(1 = f))]
                A,
            }
        ),
        expected,
    );
    let expected = "schema versions start at 1";
    refused(
        events::derive,
        &parse_quote!(
            enum E {
                #[event(version = 0)]
                A,
            }
        ),
        expected,
    );
}

#[test]
fn a_name_stands_for_one_thing() {
    let expected = "the event type `A` is declared twice";
    refused(
        events::derive,
        &parse_quote!(
            enum E {
                A,
                #[event(name = "A")]
                B,
            }
        ),
        expected,
    );
    refused(
        events::derive,
        &parse_quote!(
            enum E {
                A,
                #[event(renamed_from = "A")]
                B,
            }
        ),
        expected,
    );
    refused(
        events::derive,
        &parse_quote!(
            #[events(retired("A", 1 = f))]
            enum E {
                A,
            }
        ),
        expected,
    );
    let expected = "this version has two upcasters";
    refused(
        events::derive,
        &parse_quote!(
            #[events(retired("B", 1 = f, 1 = g))]
            enum E {
                A,
            }
        ),
        expected,
    );
    let expected = "the command `A` is declared twice";
    refused(
        commands::derive,
        &parse_quote!(
            enum E {
                A,
                #[command(name = "A")]
                B,
            }
        ),
        expected,
    );
    let expected = "the code `no-funds` is declared twice";
    refused(
        rejection::derive,
        &parse_quote!(
            enum E {
                NoFunds,
                #[reject(code = "no-funds")]
                B,
            }
        ),
        expected,
    );
}

#[test]
fn a_payload_is_an_object() {
    let expected = "name the fields, or use one field of a #[data] type";
    refused(
        events::derive,
        &parse_quote!(
            enum E {
                A(u8, u8),
            }
        ),
        expected,
    );
    refused(
        commands::derive,
        &parse_quote!(
            enum E {
                A(),
            }
        ),
        expected,
    );
    refused(
        rejection::derive,
        &parse_quote!(
            enum E {
                A(u8),
            }
        ),
        "details are a JSON object: name the fields",
    );
}

#[test]
fn attributes_in_the_wrong_place_say_where_they_belong() {
    let expected = "put this on the variants, or use #[events(rename_all_fields = \"…\")]";
    refused(
        events::derive,
        &parse_quote!(
            #[serde(rename_all = "camelCase")]
            enum E {
                A,
            }
        ),
        expected,
    );
    let expected = "the variant's name is set by `name = \"…\"`";
    refused(
        commands::derive,
        &parse_quote!(
            enum E {
                #[serde(rename = "B")]
                A { n: u8 },
            }
        ),
        expected,
    );
    let expected = "this belongs on the type of the payload";
    refused(
        commands::derive,
        &parse_quote!(
            enum E {
                #[serde(rename_all = "camelCase")]
                A(B),
            }
        ),
        expected,
    );
    let expected = "expected `name`, `version`, `renamed_from` or `upcast`";
    refused(
        events::derive,
        &parse_quote!(
            enum E {
                #[event(nam = "B")]
                A,
            }
        ),
        expected,
    );
}

#[test]
fn only_enums_without_generics_are_sets() {
    refused(
        events::derive,
        &parse_quote!(
            struct E;
        ),
        "EventSet is derived for an enum",
    );
    refused(
        commands::derive,
        &parse_quote!(
            enum E<T> {
                A { t: T },
            }
        ),
        "can't be derived for a generic enum",
    );
    refused(
        wrappers::state,
        &parse_quote!(
            struct S<T> {
                t: T,
            }
        ),
        "a state can't be generic",
    );
}
