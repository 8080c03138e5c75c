//! Tables on a terminal: columns as wide as what stands in them, the last one as it comes.

use std::io::{self, Write};

/// Writes rows under their titles.
pub(super) fn write<const N: usize>(out: &mut impl Write, titles: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([titles[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    write_row(out, &widths, titles)?;
    rows.iter().try_for_each(|row| write_row(out, &widths, std::array::from_fn(|column| row[column].as_str())))
}

fn write_row<const N: usize>(out: &mut impl Write, widths: &[usize; N], cells: [&str; N]) -> io::Result<()> {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(&format!("{cell:width$}  "));
    }
    writeln!(out, "{}", line.trim_end())
}

/// A text that fits into a line of its own, with a mark where something was left out.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [["Zoë".to_owned(), "1".to_owned()], ["b".to_owned(), "22".to_owned()]];
        let mut out = Vec::new();
        write(&mut out, ["NAME", "N"], &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME  N\nZoë   1\nb     22\n");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äöü…");
    }
}
