//! JSON texts of any shape, with the freedom that the notation leaves: escapes, spaces, forms of numbers, depth.

use everfold::model::Json;
use proptest::char::range;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy};
use proptest::prop_oneof;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use proptest::string::string_regex;

/// The text of a value, with `spaces` between its parts.
pub(super) fn texts(spaces: &'static [&'static str]) -> BoxedStrategy<String> {
    let small = leaves().prop_recursive(4, 24, 5, move |inner| {
        let space = || select(spaces);
        let item =
            (space(), inner.clone(), space()).prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        let member = (space(), strings(), space(), item.clone())
            .prop_map(|(before, name, after, value)| format!("{before}{name}{after}:{value}"));
        prop_oneof![
            vec(item, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    });
    let deep = (1..=Json::MAX_DEPTH - 4).prop_map(|levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    prop_oneof![9 => small, 1 => deep].boxed()
}

fn leaves() -> impl Strategy<Value = String> {
    let number = string_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?").unwrap();
    prop_oneof![select(&["null", "true", "false"][..]).prop_map(str::to_owned), number, strings()]
}

/// A string in its quotes.
fn strings() -> impl Strategy<Value = String> {
    const ESCAPES: [&str; 12] =
        [r#"\""#, r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u00eb", r"\u00EB", r"\ud83d\ude00", r"\u2028"];
    let plain = characters().prop_filter("has to be escaped", |character| !matches!(character, '"' | '\\'));
    let piece = prop_oneof![3 => plain.prop_map(String::from), 1 => select(&ESCAPES[..]).prop_map(str::to_owned)];
    vec(piece, 0..8).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// Names of any printable characters.
pub(super) fn names() -> impl Strategy<Value = String> {
    vec(characters(), 1..12).prop_map(String::from_iter)
}

fn characters() -> impl Strategy<Value = char> {
    let any = prop_oneof![4 => range(' ', '~'), 2 => range('¡', '\u{2fff}'), 1 => range('\u{1f300}', '\u{1faff}'), 1 => Just('\u{10ffff}')];
    any.prop_filter("a control character", |character| !character.is_control())
}
