//! `#[derive(CommandSet)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, LitStr, Result, Variant};

use crate::docs;
use crate::payload::{self, Payload, Strictness};

pub(crate) fn derive(item: &DeriveInput) -> Result<TokenStream> {
    payload::refuse_container_attributes(item, "commands")?;
    let rename_all_fields = rename_all_fields(item)?;
    let variants = payload::variants(item, "CommandSet")?;
    let payloads: Vec<_> = variants
        .iter()
        .map(|variant| Payload::new(variant, name(variant)?, Strictness::Strict))
        .collect::<Result<_>>()?;
    payload::assert_distinct(payloads.iter().map(Payload::name), "the command")?;

    let ident = &item.ident;
    let items = payloads.iter().map(|payload| payload.item(rename_all_fields.as_ref()));
    let types = variants.iter().zip(&payloads).map(|(variant, payload)| {
        let (name, schema) = (payload.name(), payload.schema());
        let description = docs::description_tokens(&variant.attrs);
        quote!(::everfold_sdk::CommandType { name: #name, description: #description, schema: #schema })
    });
    let decode = payloads.iter().map(|payload| {
        let (name, decode) = (payload.name(), payload.decode("decode_command"));
        quote!(#name => #decode)
    });
    let encode = payloads.iter().map(|payload| {
        let (name, (pattern, value)) = (payload.name(), payload.encode());
        quote!(#pattern => ::everfold_sdk::__private::encode_command(#name, &#value))
    });
    Ok(quote! {
        const _: () = {
            #(#items)*

            #[automatically_derived]
            impl ::everfold_sdk::CommandSet for #ident {
                const COMMANDS: &'static [::everfold_sdk::CommandType] = &[#(#types),*];

                // Of an enum without variants nothing is decoded.
                #[allow(unreachable_code)]
                fn decode(
                    name: &str,
                    payload: &[u8],
                ) -> ::core::result::Result<Self, ::everfold_sdk::CommandError> {
                    ::core::result::Result::Ok(match name {
                        #(#decode,)*
                        _ => return ::core::result::Result::Err(::everfold_sdk::CommandError::Unknown),
                    })
                }

                fn encode(self) -> ::everfold_sdk::EncodedCommand {
                    match self { #(#encode,)* }
                }
            }
        };
    })
}

fn rename_all_fields(item: &DeriveInput) -> Result<Option<LitStr>> {
    let mut case = None;
    for attribute in item.attrs.iter().filter(|attribute| attribute.path().is_ident("commands")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename_all_fields") {
                return Err(meta.error("expected `rename_all_fields = \"…\"`"));
            }
            case = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(case)
}

fn name(variant: &Variant) -> Result<LitStr> {
    let mut name = LitStr::new(&variant.ident.to_string(), variant.ident.span());
    for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("command")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("expected `name = \"…\"`"));
            }
            name = meta.value()?.parse()?;
            Ok(())
        })?;
    }
    Ok(name)
}
