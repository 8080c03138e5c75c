//! Doc comments as descriptions.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The text of a doc comment: lines of a paragraph joined, paragraphs apart. None where there is no comment.
pub(crate) fn description(attributes: &[Attribute]) -> Option<String> {
    let mut paragraphs = vec![String::new()];
    for line in attributes.iter().filter_map(doc_line).flat_map(|text| lines(&text)) {
        match paragraphs.last_mut() {
            Some(paragraph) if !line.is_empty() => {
                if !paragraph.is_empty() {
                    paragraph.push(' ');
                }
                paragraph.push_str(&line);
            }
            _ => paragraphs.push(String::new()),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    (!paragraphs.is_empty()).then(|| paragraphs.join("\n\n"))
}

/// The description as an expression of type `Option<&'static str>`.
pub(crate) fn description_tokens(attributes: &[Attribute]) -> TokenStream {
    match description(attributes) {
        Some(text) => quote!(::core::option::Option::Some(#text)),
        None => quote!(::core::option::Option::None),
    }
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else {
        return None;
    };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &meta.value else {
        return None;
    };
    meta.path.is_ident("doc").then(|| text.value())
}

/// A block comment is one attribute of several lines.
fn lines(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec![String::new()];
    }
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn lines_of_a_paragraph_are_joined() {
        let item: syn::ItemStruct = parse_quote! {
            /// One sentence
            /// over two lines.
            ///
            /// Another paragraph.
            struct Documented;
        };
        let expected = "One sentence over two lines.\n\nAnother paragraph.";
        assert_eq!(description(&item.attrs).as_deref(), Some(expected));
    }

    #[test]
    fn no_comment_is_no_description() {
        let item: syn::ItemStruct = parse_quote! { #[derive(Clone)] struct Bare; };
        assert_eq!(description(&item.attrs), None);
    }
}
