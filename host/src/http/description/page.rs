//! `GET /docs`: the description as a page for people. It is a part of the binary and asks no other host for anything.

use axum::extract::Path;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use super::problems::problems;
use crate::http::problem::{Code, Problem};

/// The page loads its own parts and the description, calls this host alone, and is shown in no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Asset = ([(HeaderName, &'static str); 4], &'static str);

problems!(PageProblems: &[Code::Internal]);
problems!(PartProblems: &[Code::NotFound, Code::Internal]);

/// This description for people
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "docs",
    tag = "operations",
    responses((status = 200, description = "A page.", body = String, content_type = "text/html"), PageProblems),
)]
pub(super) async fn page() -> Asset {
    asset("text/html; charset=utf-8", include_str!("page/index.html"))
}

/// The parts of the page
#[utoipa::path(
    get,
    path = "/docs/{file}",
    operation_id = "docsPart",
    tag = "operations",
    params(("file" = String, Path, description = "`page.css` or `page.js`.", example = "page.css")),
    responses(
        (status = 200, description = "The file.", content((String = "text/css"), (String = "text/javascript"))),
        PartProblems,
    ),
)]
pub(super) async fn part(Path(file): Path<String>) -> Result<Asset, Problem> {
    match file.as_str() {
        "page.css" => Ok(asset("text/css; charset=utf-8", include_str!("page/page.css"))),
        "page.js" => Ok(asset("text/javascript; charset=utf-8", include_str!("page/page.js"))),
        _ => Err(Problem::new(Code::NotFound, "the page has no such part: it has page.css and page.js")),
    }
}

fn asset(content_type: &'static str, text: &'static str) -> Asset {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A new binary brings a new page.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
