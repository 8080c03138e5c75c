//! The API's description against the API: routes, references, codes and examples. That every answer is as described
//! is held in `support::description`, through which all tests get their answers.

use std::collections::BTreeSet;

use everfold::http::problem::Code;
use reqwest::Method;
use serde_json::Value;

use crate::support::description::{DESCRIPTION, escaped, fits};
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

/// An operation: path, method, description.
type Operation = (&'static str, &'static str, &'static Value);

fn operations() -> impl Iterator<Item = Operation> {
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// The path with an example for each of its parameters.
fn example_of(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.filter(|parameter| parameter["in"] == "path").fold(path.to_owned(), |path, parameter| {
        let (name, example) = (parameter["name"].as_str().unwrap(), parameter["example"].as_str().unwrap());
        path.replace(&format!("{{{name}}}"), example)
    })
}

/// Every value in the description, with its JSON pointer.
fn values() -> Vec<(String, &'static Value)> {
    let (mut found, mut open) = (Vec::new(), vec![(String::new(), &*DESCRIPTION)]);
    while let Some((at, value)) = open.pop() {
        match value {
            Value::Object(members) => {
                open.extend(members.iter().map(|(key, value)| (format!("{at}/{}", escaped(key)), value)));
            }
            Value::Array(items) => {
                open.extend(items.iter().enumerate().map(|(index, value)| (format!("{at}/{index}"), value)));
            }
            _ => {}
        }
        found.push((at, value));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_described_is_routed_and_nothing_else() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    let mut calls = 0;
    for (path, item) in DESCRIPTION["paths"].as_object().unwrap() {
        let operation = item.as_object().unwrap().values().next().unwrap();
        let example = example_of(path, operation);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            let answer = host.send(method.parse().unwrap(), &example, &[], "").await;
            let described = item.get(method.to_lowercase()).is_some();
            // A described operation may not find what it's asked for, but its route is there.
            let detail = serde_json::from_str::<Value>(&answer.text).unwrap_or_default()["detail"].take();
            let routed =
                answer.status != 405 && !detail.as_str().unwrap_or_default().contains("is no path of this API");
            assert_eq!(routed, described, "{method} {example}: {} {}", answer.status, answer.text);
            assert!(described || answer.status == 405, "{method} {example}: {} {}", answer.status, answer.text);
            calls += 1;
        }
    }
    assert!(calls >= 7 * 12, "the description has lost its paths");
}

/// `routes(routes!(…))` takes a route and its description from one declaration; `route(…)` takes the route alone.
#[test]
fn no_route_is_made_without_its_description() {
    for source in [include_str!("../../src/http/mod.rs"), include_str!("../../src/http/description/mod.rs")] {
        assert!(source.contains(".routes(routes!(") && !source.contains(".route("), "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_served_as_it_is() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    let answer = host.get("/openapi.json").await;
    assert_eq!((answer.ok(), answer.content_type.as_str()), (DESCRIPTION.clone(), "application/json"));
    assert_eq!(DESCRIPTION["openapi"], "3.1.0");
    assert_eq!(host.send(Method::HEAD, "/openapi.json", &[], "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_needs_no_other_host() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    let response = host.request(Method::GET, "/docs").send().await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    let page = response.text().await.unwrap();
    for part in ["page.css", "page.js"] {
        assert!(page.contains(&format!("\"docs/{part}\"")), "{page}");
        let text = host.get(&format!("/docs/{part}")).await.text;
        assert!(!text.contains("://") && !page.contains("://"), "{part} names another host");
    }
    host.get("/docs/other.js").await.problem(404, "not-found");
}

#[test]
fn every_reference_leads_somewhere_and_no_schema_is_left_over() {
    let referred: BTreeSet<&str> =
        values().into_iter().filter(|(at, _)| at.ends_with("/$ref")).filter_map(|(_, value)| value.as_str()).collect();
    for reference in &referred {
        assert!(DESCRIPTION.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
    for name in DESCRIPTION["components"]["schemas"].as_object().unwrap().keys() {
        assert!(referred.contains(format!("#/components/schemas/{name}").as_str()), "{name} is used nowhere");
    }
}

#[test]
fn every_problem_code_is_described_and_no_other() {
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let texts = |value: &'static Value| value.as_array().unwrap().iter().map(|code| code.as_str().unwrap());
    let listed: BTreeSet<&str> = texts(&DESCRIPTION["components"]["schemas"]["ProblemCode"]["enum"]).collect();
    assert_eq!(listed, codes);

    let of_operations = values().into_iter().filter(|(at, _)| at.ends_with("/schema/allOf/1/properties/code/enum"));
    let mut answered: BTreeSet<&str> = of_operations.flat_map(|(_, value)| texts(value)).collect();
    // It's of no operation: the introduction describes it for all paths.
    answered.insert("method-not-allowed");
    assert_eq!(answered, codes, "a code that no operation answers, or that is none");
}

#[test]
fn every_operation_can_be_named_found_and_read_about() {
    let tags: BTreeSet<&str> =
        DESCRIPTION["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id) && id.chars().all(|c| c.is_ascii_alphanumeric()), "{method} {path}: {id}");
        assert!(operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(tag.as_str().unwrap())), "{id}");
        assert!(operation["summary"].is_string(), "{id}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{id}: {parameter}");
        }
        assert!(operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2')), "{id}");
    }
}

#[test]
fn every_example_is_what_its_schema_allows() {
    let mut checked = 0;
    for (at, value) in values() {
        // Beside a schema stands one example, or several that are named.
        let steps: Vec<&str> = at.rsplit('/').collect();
        let beside = match steps[..] {
            ["example", ..] => at.strip_suffix("/example"),
            ["value", _, "examples", ..] => at.rsplitn(4, '/').nth(3),
            _ => None,
        };
        let Some(beside) = beside.filter(|beside| DESCRIPTION.pointer(&format!("{beside}/schema")).is_some()) else {
            continue;
        };
        fits(&format!("{beside}/schema"), value).unwrap_or_else(|fault| panic!("{at}: {fault}: {value}"));
        checked += 1;
    }
    assert!(checked > 50, "the description has lost its examples: {checked}");
}
