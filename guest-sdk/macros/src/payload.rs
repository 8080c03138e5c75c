//! The payload of one variant, as a type of its own.
//!
//! A variant with named fields gets a hidden struct with the same fields and their attributes, so that a payload is
//! decoded by type name straight into its own type: going over a JSON value, or a tagged enum, is several times slower.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, LitStr, Meta, Result, Token, Type, Variant};

use crate::docs;

/// What fields a payload may have beyond the declared ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Any, passed over: events of history may carry more than this version of the module knows.
    Tolerant,
    /// None.
    Strict,
}

/// The payload of one variant.
pub(crate) struct Payload<'a> {
    variant: &'a Variant,
    /// The name by which the variant is known outside.
    name: LitStr,
    strictness: Strictness,
    shape: Shape<'a>,
}

enum Shape<'a> {
    Empty,
    Named(Vec<&'a Field>),
    Newtype(&'a Type),
}

/// The variants of an enum without generics.
pub(crate) fn variants<'a>(item: &'a DeriveInput, derive: &str) -> Result<Vec<&'a Variant>> {
    let Data::Enum(data) = &item.data else {
        return Err(Error::new(item.ident.span(), format!("{derive} is derived for an enum")));
    };
    if !item.generics.params.is_empty() {
        return Err(Error::new(item.generics.span(), format!("{derive} can't be derived for a generic enum")));
    }
    Ok(data.variants.iter().collect())
}

/// Refuses two variants that are known by one name.
pub(crate) fn assert_distinct<'a>(names: impl IntoIterator<Item = &'a LitStr>, what: &str) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name.value()) {
            return Err(Error::new(name.span(), format!("{what} `{}` is declared twice", name.value())));
        }
    }
    Ok(())
}

/// Refuses `serde` and `schemars` attributes on the enum: it isn't what is serialized.
pub(crate) fn refuse_container_attributes(item: &DeriveInput, own: &str) -> Result<()> {
    match item.attrs.iter().find(|attribute| is_serde(attribute)) {
        None => Ok(()),
        Some(attribute) => Err(Error::new(
            attribute.span(),
            format!(
                "each variant is a payload of its own: put this on the variants, or use #[{own}(rename_all_fields = \"…\")]"
            ),
        )),
    }
}

impl<'a> Payload<'a> {
    pub(crate) fn new(variant: &'a Variant, name: LitStr, strictness: Strictness) -> Result<Self> {
        let shape = match &variant.fields {
            Fields::Unit => Shape::Empty,
            Fields::Named(fields) if fields.named.is_empty() => Shape::Empty,
            Fields::Named(fields) => Shape::Named(fields.named.iter().collect()),
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Shape::Newtype(&fields.unnamed[0].ty),
            Fields::Unnamed(fields) => {
                let message = "a payload is a JSON object: name the fields, or use one field of a #[data] type";
                return Err(Error::new(fields.span(), message));
            }
        };
        for attribute in variant.attrs.iter().filter(|attribute| is_serde(attribute)) {
            check_attribute(attribute, &shape)?;
        }
        Ok(Self { variant, name, strictness, shape })
    }

    pub(crate) fn name(&self) -> &LitStr {
        &self.name
    }

    /// The hidden struct, where there is one.
    pub(crate) fn item(&self, rename_all_fields: Option<&LitStr>) -> TokenStream {
        let Shape::Named(fields) = &self.shape else {
            return TokenStream::new();
        };
        let ident = self.hidden();
        let name = &self.name;
        let attributes =
            self.variant.attrs.iter().filter(|attribute| is_serde(attribute) || attribute.path().is_ident("doc"));
        let rename_all =
            rename_all_fields.filter(|_| !self.says("rename_all")).map(|case| quote!(#[serde(rename_all = #case)]));
        let strict = (self.strictness == Strictness::Strict).then(|| quote!(#[serde(deny_unknown_fields)]));
        let fields = fields.iter().map(|field| {
            let attributes =
                field.attrs.iter().filter(|attribute| is_serde(attribute) || attribute.path().is_ident("doc"));
            let (ident, ty) = (&field.ident, &field.ty);
            quote!(#(#attributes)* #ident: #ty)
        });
        quote! {
            #[derive(
                ::everfold_sdk::serde::Serialize,
                ::everfold_sdk::serde::Deserialize,
                ::everfold_sdk::schemars::JsonSchema,
            )]
            #[serde(crate = "::everfold_sdk::serde")]
            #[schemars(crate = "::everfold_sdk::schemars", title = #name)]
            #rename_all
            #strict
            #(#attributes)*
            struct #ident { #(#fields),* }
        }
    }

    /// An expression of type `fn() -> String`.
    pub(crate) fn schema(&self) -> TokenStream {
        match &self.shape {
            Shape::Empty => {
                let (name, description) = (&self.name, docs::description_tokens(&self.variant.attrs));
                let strict = self.strictness == Strictness::Strict;
                quote!(|| ::everfold_sdk::__private::empty_schema(#name, #description, #strict))
            }
            _ => {
                let ty = self.ty();
                quote!(::everfold_sdk::__private::schema::<#ty>)
            }
        }
    }

    /// An expression that decodes `payload` with a function of the SDK, and is the variant.
    pub(crate) fn decode(&self, function: &str) -> TokenStream {
        let function = format_ident!("{function}");
        let (variant, ty) = (&self.variant.ident, self.ty());
        let decoded = quote!(::everfold_sdk::__private::#function::<#ty>(payload)?);
        match &self.shape {
            Shape::Empty => quote!({ #decoded; Self::#variant {} }),
            Shape::Newtype(_) => quote!(Self::#variant(#decoded)),
            Shape::Named(fields) => {
                let fields: Vec<_> = fields.iter().map(|field| &field.ident).collect();
                quote!({ let #ty { #(#fields),* } = #decoded; Self::#variant { #(#fields),* } })
            }
        }
    }

    /// The pattern that takes the variant apart, and the payload that it makes.
    pub(crate) fn encode(&self) -> (TokenStream, TokenStream) {
        let (variant, ty) = (&self.variant.ident, self.ty());
        match &self.shape {
            Shape::Empty => (quote!(Self::#variant {}), quote!(#ty)),
            Shape::Newtype(_) => (quote!(Self::#variant(payload)), quote!(payload)),
            Shape::Named(fields) => {
                let fields: Vec<_> = fields.iter().map(|field| &field.ident).collect();
                (quote!(Self::#variant { #(#fields),* }), quote!(#ty { #(#fields),* }))
            }
        }
    }

    /// Whether the variant's own attributes say so.
    fn says(&self, key: &str) -> bool {
        let attributes = self.variant.attrs.iter().filter(|attribute| is_serde(attribute));
        attributes.filter_map(|attribute| metas(attribute).ok()).flatten().any(|meta| meta.path().is_ident(key))
    }

    fn ty(&self) -> TokenStream {
        match &self.shape {
            Shape::Empty => {
                let strict = self.strictness == Strictness::Strict;
                quote!(::everfold_sdk::__private::Empty::<#strict>)
            }
            Shape::Newtype(ty) => quote!(#ty),
            Shape::Named(_) => {
                let ident = self.hidden();
                quote!(#ident)
            }
        }
    }

    fn hidden(&self) -> Ident {
        format_ident!("__{}", self.variant.ident)
    }
}

fn is_serde(attribute: &Attribute) -> bool {
    attribute.path().is_ident("serde") || attribute.path().is_ident("schemars")
}

fn check_attribute(attribute: &Attribute, shape: &Shape<'_>) -> Result<()> {
    if !matches!(shape, Shape::Named(_)) {
        return Err(Error::new(attribute.span(), "this belongs on the type of the payload"));
    }
    match metas(attribute)?.iter().find(|meta| meta.path().is_ident("rename")) {
        None => Ok(()),
        Some(meta) => {
            Err(Error::new(meta.span(), "the variant's name is set by `name = \"…\"` in #[event] or #[command]"))
        }
    }
}

fn metas(attribute: &Attribute) -> Result<Punctuated<Meta, Token![,]>> {
    attribute.parse_args_with(Punctuated::parse_terminated)
}
