//! `#[derive(Rejection)]`.

use heck::ToKebabCase as _;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned as _;
use syn::{Attribute, DeriveInput, Error, Fields, Ident, LitStr, Result, Variant};

use crate::{docs, payload};

/// One rejection.
struct Rejection<'a> {
    variant: &'a Variant,
    fields: Vec<&'a Ident>,
    code: LitStr,
    message: Option<LitStr>,
}

pub(crate) fn derive(item: &DeriveInput) -> Result<TokenStream> {
    let variants = payload::variants(item, "Rejection")?;
    let rejections: Vec<_> = variants.into_iter().map(rejection).collect::<Result<_>>()?;
    payload::assert_distinct(rejections.iter().map(|rejection| &rejection.code), "the code")?;

    let ident = &item.ident;
    let items = rejections.iter().map(Rejection::item);
    let types = rejections.iter().map(|rejection| {
        let (code, description) = (&rejection.code, docs::description_tokens(&rejection.variant.attrs));
        let schema = rejection.details_schema();
        quote!(::everfold_sdk::RejectionType { code: #code, description: #description, details_schema: #schema })
    });
    let codes = rejections.iter().map(|Rejection { code, variant, .. }| {
        let variant = &variant.ident;
        quote!(Self::#variant { .. } => #code)
    });
    let messages = rejections.iter().map(message);
    let details = rejections.iter().map(details);
    Ok(quote! {
        const _: () = {
            #(#items)*

            #[automatically_derived]
            impl ::everfold_sdk::Rejection for #ident {
                const REJECTIONS: &'static [::everfold_sdk::RejectionType] = &[#(#types),*];

                fn code(&self) -> &'static str {
                    match *self { #(#codes,)* }
                }

                fn message(&self) -> ::std::string::String {
                    match self { #(#messages,)* }
                }

                fn details(&self) -> ::core::option::Option<::std::vec::Vec<u8>> {
                    match self { #(#details,)* }
                }
            }
        };
    })
}

impl Rejection<'_> {
    /// The details as a type of their own, where there are any. It borrows them: a rejection is only looked at.
    fn item(&self) -> Option<TokenStream> {
        let (hidden, code, fields) = (self.hidden()?, &self.code, &self.fields);
        let types = self.variant.fields.iter().map(|field| &field.ty);
        let docs = self.variant.fields.iter().map(|field| {
            let docs = field.attrs.iter().filter(|attribute| attribute.path().is_ident("doc"));
            quote!(#(#docs)*)
        });
        Some(quote! {
            #[derive(::everfold_sdk::serde::Serialize, ::everfold_sdk::schemars::JsonSchema)]
            #[serde(crate = "::everfold_sdk::serde")]
            #[schemars(crate = "::everfold_sdk::schemars", title = #code)]
            struct #hidden<'a> { #(#docs #fields: &'a #types),* }
        })
    }

    /// An expression of type `Option<fn() -> String>`.
    fn details_schema(&self) -> TokenStream {
        match self.hidden() {
            None => quote!(::core::option::Option::None),
            Some(hidden) => {
                quote!(::core::option::Option::Some(::everfold_sdk::__private::written_schema::<#hidden<'static>>))
            }
        }
    }

    fn hidden(&self) -> Option<Ident> {
        (!self.fields.is_empty()).then(|| format_ident!("__{}", self.variant.ident))
    }
}

fn message(Rejection { variant, fields, code, message }: &Rejection<'_>) -> TokenStream {
    let variant = &variant.ident;
    match message {
        // Not every field need be in the message.
        Some(message) => {
            quote!(Self::#variant { #(#fields),* } => { #(let _ = #fields;)* ::std::format!(#message) })
        }
        None => {
            let words = code.value().replace('-', " ");
            quote!(Self::#variant { .. } => ::std::string::String::from(#words))
        }
    }
}

fn details(rejection: &Rejection<'_>) -> TokenStream {
    let (name, fields, code) = (&rejection.variant.ident, &rejection.fields, &rejection.code);
    match rejection.hidden() {
        None => quote!(Self::#name { .. } => ::core::option::Option::None),
        Some(hidden) => quote! {
            Self::#name { #(#fields),* } => {
                ::core::option::Option::Some(::everfold_sdk::__private::to_json(#code, &#hidden { #(#fields),* }))
            }
        },
    }
}

fn rejection(variant: &Variant) -> Result<Rejection<'_>> {
    let fields = match &variant.fields {
        Fields::Unnamed(fields) => {
            return Err(Error::new(fields.span(), "details are a JSON object: name the fields"));
        }
        fields => fields.iter().filter_map(|field| field.ident.as_ref()).collect(),
    };
    let code = variant.ident.to_string().to_kebab_case();
    let mut rejection = Rejection { variant, fields, code: LitStr::new(&code, variant.ident.span()), message: None };
    for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("reject")) {
        read(attribute, &mut rejection)?;
    }
    Ok(rejection)
}

/// `#[reject("message")]`, `#[reject(code = "…")]`, or both in one.
fn read(attribute: &Attribute, rejection: &mut Rejection<'_>) -> Result<()> {
    attribute.parse_args_with(|input: syn::parse::ParseStream<'_>| {
        while !input.is_empty() {
            if input.peek(LitStr) {
                rejection.message = Some(input.parse()?);
            } else {
                let key: Ident = input.parse()?;
                if key != "code" {
                    return Err(Error::new(key.span(), "expected a message, or `code = \"…\"`"));
                }
                input.parse::<syn::Token![=]>()?;
                rejection.code = input.parse()?;
            }
            if !input.is_empty() {
                input.parse::<syn::Token![,]>()?;
            }
        }
        Ok(())
    })
}
