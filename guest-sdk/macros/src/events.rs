//! `#[derive(EventSet)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{DeriveInput, Error, LitInt, LitStr, Path, Result, Token, Variant, parenthesized};

use crate::docs;
use crate::payload::{self, Payload, Strictness};

/// What the enum's `#[events(…)]` says.
#[derive(Default)]
struct Options {
    rename_all_fields: Option<LitStr>,
    retired: Vec<Retired>,
}

/// An event type that is no longer there.
struct Retired {
    name: LitStr,
    upcasters: Vec<Upcaster>,
}

/// One event type.
struct Event<'a> {
    variant: &'a Variant,
    payload: Payload<'a>,
    version: u32,
    /// Names that history may call it by.
    former_names: Vec<LitStr>,
    /// For the versions 1, 2 … before `version`, in order.
    upcasters: Vec<Upcaster>,
}

/// `1 = opened_v1`.
struct Upcaster {
    version: LitInt,
    function: Path,
}

impl Parse for Upcaster {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let version = input.parse()?;
        input.parse::<Token![=]>()?;
        Ok(Self { version, function: input.parse()? })
    }
}

pub(crate) fn derive(item: &DeriveInput) -> Result<TokenStream> {
    payload::refuse_container_attributes(item, "events")?;
    let options = options(item)?;
    let variants = payload::variants(item, "EventSet")?;
    let events: Vec<_> = variants.into_iter().map(event).collect::<Result<_>>()?;
    let retired = options.retired.iter().map(|retired| &retired.name);
    let names = events.iter().flat_map(|event| event.former_names.iter().chain([event.payload.name()]));
    payload::assert_distinct(names.chain(retired), "the event type")?;

    let ident = &item.ident;
    let items = events.iter().map(|event| event.payload.item(options.rename_all_fields.as_ref()));
    let current = events.iter().map(current);
    let old = events.iter().map(Event::old_kinds).chain(options.retired.iter().map(Retired::kinds));
    let decode = events.iter().map(decode_arms).chain(options.retired.iter().map(retired_arms));
    let encode = events.iter().map(|event| {
        let (name, version, (pattern, value)) = (event.payload.name(), event.version, event.payload.encode());
        quote!(#pattern => ::everfold_sdk::__private::encode_event(#name, #version, &#value))
    });
    Ok(quote! {
        const _: () = {
            #(#items)*

            #[automatically_derived]
            impl ::everfold_sdk::EventSet for #ident {
                const CURRENT: &'static [::everfold_sdk::EventType] = &[#(#current),*];
                const OLD: &'static [::everfold_sdk::EventKind] = &[#(#old)*];

                fn decode(
                    event_type: &str,
                    schema_version: u32,
                    payload: &[u8],
                    into: &mut ::std::vec::Vec<Self>,
                ) -> ::core::result::Result<(), ::everfold_sdk::EventError> {
                    match (event_type, schema_version) {
                        #(#decode)*
                        _ => ::core::result::Result::Err(::everfold_sdk::EventError::Unknown),
                    }
                }

                fn encode(self) -> ::everfold_sdk::EncodedEvent {
                    match self { #(#encode,)* }
                }
            }
        };
    })
}

fn current(event: &Event<'_>) -> TokenStream {
    let (schema, description) = (event.payload.schema(), docs::description_tokens(&event.variant.attrs));
    let kind = kind(event.payload.name(), event.version);
    quote!(::everfold_sdk::EventType { kind: #kind, description: #description, schema: #schema })
}

fn decode_arms(event: &Event<'_>) -> TokenStream {
    let (name, version, former) = (event.payload.name(), event.version, &event.former_names);
    let decode = event.payload.decode("decode_event");
    let upcasts = event.upcasters.iter().zip(1_u32..).map(|(upcaster, version)| {
        let (function, next) = (&upcaster.function, kind(name, version + 1));
        quote! {
            (#name #(| #former)*, #version) => ::everfold_sdk::__private::upcast(payload, #function, #next, into),
        }
    });
    quote! {
        (#name #(| #former)*, #version) => {
            into.push(#decode);
            ::core::result::Result::Ok(())
        }
        #(#upcasts)*
    }
}

fn retired_arms(retired: &Retired) -> TokenStream {
    let name = &retired.name;
    let arms = retired.upcasters.iter().map(|upcaster| {
        let (version, function) = (&upcaster.version, &upcaster.function);
        quote!((#name, #version) => ::everfold_sdk::__private::retire(payload, #function, into),)
    });
    quote!(#(#arms)*)
}

impl Event<'_> {
    /// Older versions under its present name, and all versions under former ones.
    fn old_kinds(&self) -> TokenStream {
        let older = (1..self.version).map(|version| kind(self.payload.name(), version));
        let former = self.former_names.iter().flat_map(|name| (1..=self.version).map(|version| kind(name, version)));
        let kinds = older.chain(former);
        quote!(#(#kinds,)*)
    }
}

impl Retired {
    fn kinds(&self) -> TokenStream {
        let (name, versions) = (&self.name, self.upcasters.iter().map(|upcaster| &upcaster.version));
        quote!(#(::everfold_sdk::EventKind { event_type: #name, schema_version: #versions },)*)
    }
}

fn kind(name: &LitStr, version: u32) -> TokenStream {
    quote!(::everfold_sdk::EventKind { event_type: #name, schema_version: #version })
}

fn options(item: &DeriveInput) -> Result<Options> {
    let mut options = Options::default();
    for attribute in item.attrs.iter().filter(|attribute| attribute.path().is_ident("events")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename_all_fields") {
                options.rename_all_fields = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("retired") {
                options.retired.push(retired(&meta)?);
            } else {
                return Err(meta.error("expected `rename_all_fields = \"…\"` or `retired(\"Type\", 1 = upcaster)`"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

fn retired(meta: &ParseNestedMeta<'_>) -> Result<Retired> {
    let content;
    parenthesized!(content in meta.input);
    let name: LitStr = content.parse()?;
    content.parse::<Token![,]>()?;
    let upcasters: Vec<_> = Punctuated::<Upcaster, Token![,]>::parse_terminated(&content)?.into_iter().collect();
    let mut seen = std::collections::HashSet::new();
    for upcaster in &upcasters {
        if !seen.insert(number(&upcaster.version)?) {
            return Err(Error::new(upcaster.version.span(), "this version has two upcasters"));
        }
    }
    Ok(Retired { name, upcasters })
}

fn event(variant: &Variant) -> Result<Event<'_>> {
    let mut name = LitStr::new(&variant.ident.to_string(), variant.ident.span());
    let mut version = LitInt::new("1", variant.ident.span());
    let mut former_names = Vec::new();
    let mut upcasters = Vec::new();
    for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = meta.value()?.parse()?;
            } else if meta.path.is_ident("version") {
                version = meta.value()?.parse()?;
            } else if meta.path.is_ident("renamed_from") {
                former_names.push(meta.value()?.parse()?);
            } else if meta.path.is_ident("upcast") {
                let content;
                parenthesized!(content in meta.input);
                upcasters.extend(Punctuated::<Upcaster, Token![,]>::parse_terminated(&content)?);
            } else {
                return Err(meta.error("expected `name`, `version`, `renamed_from` or `upcast`"));
            }
            Ok(())
        })?;
    }
    let payload = Payload::new(variant, name, Strictness::Tolerant)?;
    let (version, upcasters) = ordered(&version, upcasters)?;
    Ok(Event { variant, payload, version, former_names, upcasters })
}

/// The upcasters by version. Each older version must have one: without it the history that it wrote is unreadable.
fn ordered(version: &LitInt, mut upcasters: Vec<Upcaster>) -> Result<(u32, Vec<Upcaster>)> {
    let newest = number(version)?;
    let mut numbers = upcasters.iter().map(|upcaster| number(&upcaster.version)).collect::<Result<Vec<_>>>()?;
    numbers.sort_unstable();
    if !numbers.iter().copied().eq(1..newest) {
        let message = match newest {
            1 => "version 1 is the first: there is nothing to upcast (is `version = …` missing?)".to_owned(),
            2 => "version 2 needs an upcaster from the one before: `upcast(1 = function)`".to_owned(),
            _ => format!("version {newest} needs one upcaster for each version before it: `upcast(1 = …, 2 = …)`"),
        };
        return Err(Error::new(version.span(), message));
    }
    upcasters.sort_by_key(|upcaster| number(&upcaster.version).unwrap_or(u32::MAX));
    Ok((newest, upcasters))
}

fn number(version: &LitInt) -> Result<u32> {
    match version.base10_parse()? {
        0 => Err(Error::new(version.span(), "schema versions start at 1")),
        number => Ok(number),
    }
}
