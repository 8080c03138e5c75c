//! Holds every answer that a test gets against the host's own description of its API.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use everfold::http::{HttpOptions, openapi};
use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};

use super::host::Answer;

/// The description, as `/openapi.json` answers it.
pub(crate) static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_slice(&openapi(&HttpOptions::default())).unwrap());

/// The schema at each pointer into the description, compiled once.
static SCHEMAS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// Fails where the answer isn't what the description says of the operation: an undescribed status, another media type,
/// a body that its schema doesn't allow, an undescribed header.
#[track_caller]
pub(crate) fn check(method: &Method, path: &str, answer: &Answer) {
    if let Err(fault) = fault_of(method, path, answer) {
        panic!(
            "{method} {path} was answered {} {:?}, but {fault}: {}",
            answer.status, answer.content_type, answer.text
        );
    }
}

fn fault_of(method: &Method, path: &str, answer: &Answer) -> Result<(), String> {
    let Some(template) = template_of(path) else { return is_problem(answer, 404, "not-found") };
    // Who answers to GET answers to HEAD, without a body.
    if method == Method::HEAD {
        return Ok(());
    }
    let verb = method.as_str().to_lowercase();
    if DESCRIPTION["paths"][template][&verb].is_null() {
        return is_problem(answer, 405, "method-not-allowed");
    }
    let at = format!("/paths/{}/{verb}/responses/{}", escaped(template), answer.status);
    let Some(response) = DESCRIPTION.pointer(&at) else { return Err("the status isn't described".to_owned()) };
    for (name, value) in [("ETag", &answer.etag), ("Retry-After", &answer.retry_after)] {
        if value.is_some() && response["headers"][name].is_null() {
            return Err(format!("{name} isn't described"));
        }
    }
    let Some(contents) = response["content"].as_object() else {
        return if answer.text.is_empty() { Ok(()) } else { Err("no body is described".to_owned()) };
    };
    let kind = answer.content_type.split(';').next().unwrap_or_default();
    if !contents.contains_key(kind) {
        return Err("the media type isn't described".to_owned());
    }
    body_fits(&format!("{at}/content/{}/schema", escaped(kind)), kind, &answer.text)
}

/// Whether a body of this media type is what the schema at the pointer allows.
fn body_fits(at: &str, kind: &str, text: &str) -> Result<(), String> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
    match kind {
        "application/x-ndjson" => text.lines().try_for_each(|line| fits(at, &parse(line)?)),
        kind if kind.ends_with("json") => fits(at, &parse(text)?),
        _ => Ok(()),
    }
}

fn is_problem(answer: &Answer, status: u16, code: &str) -> Result<(), String> {
    let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    if answer.status != status || body["code"] != code {
        return Err(format!("what isn't described is answered {status} {code}"));
    }
    fits("/components/schemas/Problem", &body)
}

/// Whether the value is what the schema at this pointer into the description allows.
pub(crate) fn fits(at: &str, value: &Value) -> Result<(), String> {
    let schema = SCHEMAS.lock().unwrap().entry(at.to_owned()).or_insert_with(|| Arc::new(compiled(at))).clone();
    let faults: Vec<String> =
        schema.iter_errors(value).map(|error| format!("{error} (at {})", error.instance_path())).collect();
    if faults.is_empty() { Ok(()) } else { Err(format!("its schema says: {}", faults.join("; "))) }
}

/// The whole description is the schema's document, so that its references lead somewhere.
fn compiled(at: &str) -> Validator {
    let mut document = DESCRIPTION.clone();
    document["$ref"] = json!(format!("#{}", at.replace('{', "%7B").replace('}', "%7D")));
    jsonschema::options().should_validate_formats(true).build(&document).unwrap()
}

/// The described path that a request's path is one of; one without parameters first.
pub(crate) fn template_of(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let templates = DESCRIPTION["paths"].as_object().unwrap().keys();
    let mut found: Vec<&str> = templates.map(String::as_str).filter(|template| is_of(path, template)).collect();
    found.sort_by_key(|template| template.matches('{').count());
    found.first().copied()
}

fn is_of(path: &str, template: &str) -> bool {
    let (parts, names): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), template.split('/').collect());
    let same = |(part, name): (&&str, &&str)| if name.starts_with('{') { !part.is_empty() } else { part == name };
    parts.len() == names.len() && parts.iter().zip(&names).all(same)
}

/// A key as a step of a JSON pointer.
pub(crate) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
