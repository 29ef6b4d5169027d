//! Tables: aligned text for terminals of any width, and Markdown.

/// A column of formatted cells.
pub struct Column {
    head: &'static str,
    cells: Vec<String>,
    /// Columns of higher rank are dropped first on a narrow terminal; 0: never.
    rank: u8,
    left: bool,
}

impl Column {
    /// A column of numbers, aligned right.
    pub fn right(head: &'static str, cells: Vec<String>, rank: u8) -> Column {
        Column {
            head,
            cells,
            rank,
            left: false,
        }
    }

    /// A column of words, aligned left.
    pub fn left(head: &'static str, cells: Vec<String>, rank: u8) -> Column {
        Column {
            left: true,
            ..Column::right(head, cells, rank)
        }
    }

    fn width(&self) -> usize {
        self.cells
            .iter()
            .map(|cell| cell.chars().count())
            .fold(self.head.len(), usize::max)
    }

    fn set(&self, cell: &str) -> String {
        let width = self.width();
        if self.left {
            format!("{cell:<width$}")
        } else {
            format!("{cell:>width$}")
        }
    }
}

/// Space between two columns.
const GAP: usize = 2;

/// The columns that fit into `width`: the highest rank goes first, and within a rank the rightmost.
pub fn fit(mut columns: Vec<Column>, width: usize) -> Vec<Column> {
    while columns.iter().map(|c| c.width() + GAP).sum::<usize>() > width + GAP {
        match columns
            .iter()
            .enumerate()
            .filter(|(_, c)| c.rank > 0)
            .max_by_key(|(i, c)| (c.rank, *i))
        {
            Some((i, _)) => columns.remove(i),
            None => break,
        };
    }
    columns
}

/// Headers and rows as text; each line ends in a newline, without trailing spaces.
pub fn text(columns: &[Column]) -> String {
    let line = |cells: Vec<String>| format!("{}\n", cells.join(&" ".repeat(GAP)).trim_end());
    let rows = columns.first().map_or(0, |c| c.cells.len());
    let mut out = line(columns.iter().map(|c| c.set(c.head)).collect());
    for row in 0..rows {
        out.push_str(&line(
            columns.iter().map(|c| c.set(&c.cells[row])).collect(),
        ));
    }
    out
}

/// Headers and rows as a Markdown table.
pub fn markdown(heads: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = format!("|{}\n", "---|".repeat(heads.len()));
    let rows: String = rows.iter().map(|row| line(row)).collect();
    line(heads) + &rule + &rows
}

/// `text` escaped for a cell of a Markdown table.
pub fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace(['\n', '\r'], " ")
}

/// Wraps `text` at words into lines of at most `width` characters (longer words overflow), each
/// indented by `indent` spaces.
pub fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column == 0 || column + 1 + length > width {
            out.push_str(if out.is_empty() { "" } else { "\n" });
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out + "\n"
}

/// Width of the terminal on standard output in columns; 100 without a terminal.
pub fn terminal_width() -> usize {
    console::Term::stdout()
        .size_checked()
        .map_or(100, |(_, columns)| usize::from(columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        let words = |list: &[&str]| list.iter().map(|w| w.to_string()).collect();
        vec![
            Column::left("op", words(&["relu", "ϑ"]), 0),
            Column::right("cases", words(&["12", "7"]), 1),
            Column::right("share", words(&["0.5", ""]), 2),
        ]
    }

    #[test]
    fn narrow_terminals_lose_the_columns_of_high_rank() {
        assert_eq!(
            text(&fit(columns(), 20)),
            "op    cases  share\nrelu     12    0.5\nϑ         7\n"
        );
        assert_eq!(
            text(&fit(columns(), 17)),
            "op    cases\nrelu     12\nϑ         7\n"
        );
        assert_eq!(text(&fit(columns(), 1)), "op\nrelu\nϑ\n");
    }

    #[test]
    fn sentences_are_wrapped_at_words() {
        assert_eq!(wrapped("one two three", 2, 9), "  one two\n  three\n");
        assert_eq!(wrapped("incompressible", 2, 5), "  incompressible\n");
    }
}
