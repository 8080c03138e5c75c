//! Links from a page of a list to the pages beside it: in the body, and in the header `Link` (RFC 8288).

use std::fmt::Display;

use axum::http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

/// The pages beside this one, as paths of this host that keep all filters.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Links {
    /// Reads on, the same way; null where nothing was left that way.
    #[schema(required)]
    pub next: Option<String>,
    /// Turns around: reads the other way what lies before this page; null where nothing does.
    #[schema(required)]
    pub prev: Option<String>,
}

impl Links {
    /// The same links as a header; without links there is none.
    pub(super) fn header(&self) -> HeaderMap {
        let named = [(&self.next, "next"), (&self.prev, "prev")];
        let links: Vec<String> = named
            .into_iter()
            .filter_map(|(link, relation)| link.as_ref().map(|link| format!("<{link}>; rel=\"{relation}\"")))
            .collect();
        // Paths and query strings are encoded, so that their characters are those of a header.
        let value = (!links.is_empty()).then(|| HeaderValue::try_from(links.join(", "))).and_then(Result::ok);
        value.map(|value| (header::LINK, value)).into_iter().collect()
    }
}

/// A link under way: a path, and parameters that are encoded as they come.
pub(super) struct Link {
    path: String,
    parameters: form_urlencoded::Serializer<'static, String>,
}

impl Link {
    /// A link to an encoded path.
    pub(super) fn to(path: &str) -> Self {
        Self { path: path.to_owned(), parameters: form_urlencoded::Serializer::new(String::new()) }
    }

    /// With a parameter.
    pub(super) fn with(mut self, name: &str, value: impl Display) -> Self {
        self.parameters.append_pair(name, &value.to_string());
        self
    }

    /// With a parameter, where it has a value.
    pub(super) fn maybe(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The path with its query string.
    pub(super) fn finish(mut self) -> String {
        format!("{}?{}", self.path, self.parameters.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_told_in_one_header() {
        let link = |n| Some(Link::to("/v1/x").with("after", format!("a&/{n} ë")).maybe("q", None::<i64>).finish());
        let links = Links { next: link(1), prev: link(2) };
        let expected = r#"</v1/x?after=a%26%2F1+%C3%AB>; rel="next", </v1/x?after=a%26%2F2+%C3%AB>; rel="prev""#;
        assert_eq!(links.header()[header::LINK], expected);
        assert!(Links::default().header().is_empty());
    }
}
