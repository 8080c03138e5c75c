//! `#[state]` and `#[data]`: derives of other crates, told where those crates are, so that a user's `Cargo.toml` needs
//! `everfold-sdk` alone.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned as _;
use syn::{DeriveInput, Error, Result};

use crate::docs;

pub(crate) fn no_arguments(attribute: &str, arguments: TokenStream) -> Result<()> {
    if arguments.is_empty() {
        return Ok(());
    }
    Err(Error::new(arguments.span(), format!("#[{attribute}] takes no arguments")))
}

pub(crate) fn state(item: &DeriveInput) -> Result<TokenStream> {
    if !item.generics.params.is_empty() {
        return Err(Error::new(item.generics.span(), "a state can't be generic: one aggregate type has one state"));
    }
    let (ident, description) = (&item.ident, docs::description_tokens(&item.attrs));
    Ok(quote! {
        #[derive(
            ::core::default::Default,
            ::everfold_sdk::serde::Serialize,
            ::everfold_sdk::serde::Deserialize,
            ::everfold_sdk::schemars::JsonSchema,
        )]
        #[serde(crate = "::everfold_sdk::serde")]
        #[schemars(crate = "::everfold_sdk::schemars")]
        #item

        #[automatically_derived]
        impl ::everfold_sdk::State for #ident {
            const DESCRIPTION: ::core::option::Option<&'static str> = #description;

            fn schema() -> ::core::option::Option<::std::string::String> {
                ::core::option::Option::Some(::everfold_sdk::__private::written_schema::<Self>())
            }
        }
    })
}

pub(crate) fn data(item: &DeriveInput) -> TokenStream {
    quote! {
        #[derive(
            ::everfold_sdk::serde::Serialize,
            ::everfold_sdk::serde::Deserialize,
            ::everfold_sdk::schemars::JsonSchema,
        )]
        #[serde(crate = "::everfold_sdk::serde")]
        #[schemars(crate = "::everfold_sdk::schemars")]
        #item
    }
}
