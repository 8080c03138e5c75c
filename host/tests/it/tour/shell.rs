//! The little of a shell, and of curl, that the pages use.

/// The words of a command line: quotes and backslashes as in `sh`, and nothing else of it.
pub(super) fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), _) if letter == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(letters.next()),
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    assert_eq!(quote, None, "a quote is open at the end of: {line}");
    words.extend(word);
    words
}

/// A call of curl.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Curl {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    /// What is sent; `@FILE` is a file's content.
    pub(super) body: String,
}

impl Curl {
    pub(super) fn parse(arguments: &[&str]) -> Self {
        let (mut method, mut url, mut body, mut headers) = (None, None, None, Vec::new());
        let mut arguments = arguments.iter().copied();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} lacks its value")).to_owned();
            match argument {
                "-s" => {}
                "-X" => method = Some(value()),
                "-H" => headers.push(header(&value())),
                "--data-binary" => body = Some(value()),
                "--json" => {
                    body = Some(value());
                    headers.extend(["Content-Type", "Accept"].map(|name| (name.into(), "application/json".into())));
                }
                option if option.starts_with('-') => panic!("the test's curl doesn't know {option}: teach it"),
                _ => assert_eq!(url.replace(argument.to_owned()), None, "one URL at a time"),
            }
        }
        let method = method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
        Self { method, url: url.expect("curl takes a URL"), headers, body: body.unwrap_or_default() }
    }
}

fn header(text: &str) -> (String, String) {
    let (name, value) = text.split_once(':').unwrap_or_else(|| panic!("{text} is no header"));
    (name.to_owned(), value.trim().to_owned())
}

#[test]
fn words_are_split_as_a_shell_does() {
    assert_eq!(
        split(r#"curl --json '{"a": "b c"}' -H "x: \"y\"" a\ b  c"#),
        ["curl", "--json", r#"{"a": "b c"}"#, "-H", r#"x: "y""#, "a b", "c"]
    );
    assert_eq!(split("a '' b"), ["a", "", "b"]);
}

#[test]
fn a_call_of_curl_is_understood() {
    let call = Curl::parse(&["--json", "{}", "-H", "Idempotency-Key: a:b", "localhost:7400/x"]);
    assert_eq!((call.method.as_str(), call.url.as_str(), call.body.as_str()), ("POST", "localhost:7400/x", "{}"));
    assert!(call.headers.contains(&("Idempotency-Key".into(), "a:b".into())), "{call:?}");
    assert_eq!(Curl::parse(&["-X", "DELETE", "u"]).method, "DELETE");
    assert_eq!(Curl::parse(&["u"]).method, "GET");
}
