//! How an answer is shown: what differs from run to run by a placeholder, and JSON laid out for reading.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// JSON that is shorter stays in one line.
const WIDTH: usize = 110;

/// What stands for what: the same thing has the same placeholder on the whole page.
#[derive(Default)]
pub(super) struct Placeholders {
    ids: Vec<String>,
    digests: Vec<String>,
    /// The log's number, which its cursors begin with.
    log: Option<String>,
}

impl Placeholders {
    /// The text with placeholders for ids, digests, times, and the log's number.
    pub(super) fn put(&mut self, text: &str) -> String {
        let mut shown = String::new();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
            let word = rest[..end].trim_end_matches(['.', ':', '-']);
            if word.is_empty() {
                shown.push(letter);
                rest = &rest[letter.len_utf8()..];
            } else {
                shown += &self.of_word(word);
                rest = &rest[word.len()..];
            }
        }
        shown
    }

    /// The command with what its placeholders stand for.
    pub(super) fn resolve(&self, command: &str) -> String {
        let numbered = |name, list: &[String]| {
            let of = |(number, thing): (usize, &String)| (format!("<{name}-{}>", number + 1), thing.clone());
            list.iter().enumerate().map(of).collect::<Vec<_>>()
        };
        let log = self.log.iter().map(|log| ("<log>".to_owned(), log.clone()));
        let all = numbered("id", &self.ids).into_iter().chain(numbered("digest", &self.digests)).chain(log);
        all.fold(command.to_owned(), |command, (placeholder, thing)| command.replace(&placeholder, &thing))
    }

    /// Whether there are placeholders in a command.
    pub(super) fn are_in(command: &str) -> bool {
        ["<id-", "<digest-", "<time", "<log>"].iter().any(|placeholder| command.contains(placeholder))
    }

    fn of_word(&mut self, word: &str) -> String {
        if word.len() == 36 && Uuid::parse_str(word).is_ok() {
            return format!("<id-{}>", number(&mut self.ids, word));
        }
        if word.len() == 64 && word.chars().all(|letter| letter.is_ascii_hexdigit()) {
            return format!("<digest-{}>", number(&mut self.digests, word));
        }
        if OffsetDateTime::parse(word, &Rfc3339).is_ok() {
            return "<time>".to_owned();
        }
        let is_number = |text: &str| !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit());
        match word.split_once('-') {
            Some((log, position)) if is_number(log) && is_number(position) => {
                self.log = Some(log.to_owned());
                format!("<log>-{position}")
            }
            _ => word.to_owned(),
        }
    }
}

fn is_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-:.".contains(letter)
}

/// The place of a thing in a list, from 1; at the end if it is new.
fn number(list: &mut Vec<String>, thing: &str) -> usize {
    let place = list.iter().position(|it| it == thing).unwrap_or_else(|| {
        list.push(thing.to_owned());
        list.len() - 1
    });
    place + 1
}

/// A JSON document over as many lines as it takes; any other text, and lines of JSON, as they are.
pub(super) fn lay_out(text: &str) -> String {
    let Ok(document) = serde_json::from_str::<&RawValue>(text.trim_end()) else {
        return text.to_owned();
    };
    let mut shown = String::new();
    write(document.get(), 0, 0, &mut shown);
    shown
}

/// Writes a value that begins at a column, with a comma or whatever else comes after it still to fit.
fn write(value: &str, indent: usize, column: usize, shown: &mut String) {
    if column + value.chars().count() < WIDTH {
        shown.push_str(value);
        return;
    }
    let inner = indent + 2;
    let (open, members, close) = match value.chars().next() {
        Some('{') => {
            let Members(members) = serde_json::from_str(value).expect("an object");
            let name = |name: String| format!("{}:", serde_json::Value::from(name));
            ('{', members.into_iter().map(|(key, value)| (name(key), value)).collect::<Vec<_>>(), '}')
        }
        Some('[') => {
            let members: Vec<&RawValue> = serde_json::from_str(value).expect("a list");
            ('[', members.into_iter().map(|value| (String::new(), value)).collect(), ']')
        }
        _ => {
            shown.push_str(value);
            return;
        }
    };
    shown.push(open);
    for (place, (name, value)) in members.iter().enumerate() {
        shown.push_str(if place == 0 { "\n" } else { ",\n" });
        shown.push_str(&" ".repeat(inner));
        shown.push_str(name);
        write(value.get(), inner, inner + name.chars().count(), shown);
    }
    shown.push('\n');
    shown.push_str(&" ".repeat(indent));
    shown.push(close);
}

/// An object's members in the order in which they are sent.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[test]
fn what_differs_has_a_placeholder_and_the_same_thing_the_same() {
    let (one, two) = ("01a20318-c010-7049-b9fd-4d5b9fe08338", "01a20318-c042-725b-922c-340b605c6c61");
    let digest = "e28334ab9333d60da795d2dc0517b2b9487eb0fc7bb7a929d0e04a010ceb29bf";
    let mut placeholders = Placeholders::default();
    let text =
        format!(r#"{{"id":"{one}","at":"2026-11-22T11:51:23.457Z","v":"1.0.0","next":"/v1?after=77-2&limit=1"}}"#);
    assert_eq!(
        placeholders.put(&text),
        r#"{"id":"<id-1>","at":"<time>","v":"1.0.0","next":"/v1?after=<log>-2&limit=1"}"#
    );
    assert_eq!(placeholders.put(&format!("{two}, {one}: {digest}.")), "<id-2>, <id-1>: <digest-1>.");
    assert_eq!(placeholders.put("localhost:7400 é not-a-cursor"), "localhost:7400 é not-a-cursor");
    assert_eq!(placeholders.resolve("curl 'x?after=<log>-3' <id-2>"), format!("curl 'x?after=77-3' {two}"));
}

#[test]
fn long_documents_are_laid_out_and_keep_their_order() {
    let short = r#"{"b":1,"a":[1, 2]}"#;
    assert_eq!(lay_out(&format!("{short}\n")), short);
    let long = format!(r#"{{"b":"{}","a":[{{"c":1}},{{"d":"{}"}}]}}"#, "x".repeat(60), "y".repeat(60));
    let expected =
        format!("{{\n  \"b\":\"{}\",\n  \"a\":[{{\"c\":1}},{{\"d\":\"{}\"}}]\n}}", "x".repeat(60), "y".repeat(60));
    assert_eq!(lay_out(&long), expected);
    assert_eq!(lay_out("ready\n"), "ready\n");
    assert_eq!(lay_out("{\"a\":1}\n{\"a\":2}\n"), "{\"a\":1}\n{\"a\":2}\n");
}
