//! A page with console blocks: the commands in it, and the same page with other outputs.

/// A page, line by line.
pub(super) struct Page<'a> {
    parts: Vec<Part<'a>>,
}

enum Part<'a> {
    /// A line that stays as it is.
    Line(&'a str),
    /// A command, over one line or several, with what it said. The first line begins with `$ `; a line that ends with a
    /// backslash goes on in the next.
    Command { lines: Vec<&'a str>, text: String },
}

impl<'a> Page<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let (mut parts, mut in_console) = (Vec::new(), false);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            match line.strip_prefix("$ ") {
                _ if line.starts_with("```") => {
                    in_console = line == "```console";
                    parts.push(Part::Line(line));
                }
                Some(_) if in_console => {
                    let mut command = vec![line];
                    while command.last().is_some_and(|line| line.ends_with('\\')) {
                        command.push(lines.next().expect("a command that goes on has another line"));
                    }
                    let text = command.join("\n").split_off("$ ".len()).replace("\\\n", "");
                    parts.push(Part::Command { lines: command, text });
                }
                None if in_console && matches!(parts.last(), Some(Part::Command { .. })) => {}
                _ => parts.push(Part::Line(line)),
            }
        }
        Self { parts }
    }

    pub(super) fn commands(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Command { text, .. } => Some(text.as_str()),
            Part::Line(_) => None,
        })
    }

    /// The page with these outputs, one for each command.
    pub(super) fn with_outputs(&self, outputs: &[String]) -> String {
        let mut outputs = outputs.iter();
        let mut page = String::new();
        for part in &self.parts {
            match part {
                Part::Line(line) => push(&mut page, line),
                Part::Command { lines, .. } => {
                    lines.iter().for_each(|line| push(&mut page, line));
                    outputs.next().expect("one for each command").lines().for_each(|line| push(&mut page, line));
                }
            }
        }
        page
    }
}

fn push(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

#[test]
fn commands_are_found_and_their_outputs_replaced() {
    let text = "# Tour\n$ not this\n```console\n$ a \\\n    b\nold\n  old\n$ c\n```\ntext\n```sh\n$ nor this\n```\n";
    let page = Page::parse(text);
    assert_eq!(page.commands().collect::<Vec<_>>(), ["a     b", "c"]);
    let expected = "# Tour\n$ not this\n```console\n$ a \\\n    b\nnew\n$ c\n1\n2\n```\ntext\n```sh\n$ nor this\n```\n";
    assert_eq!(page.with_outputs(&["new\n".into(), "1\n2".into()]), expected);
}
