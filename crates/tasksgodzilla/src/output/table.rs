//! Tables that fit the terminal: ids stay whole, long texts are cut, and what can be missed is left out
//! where the terminal is narrow. In a pipe nothing is cut.

use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, Width, presets};

use super::clean;

/// A column and what may happen to it on a narrow terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Never cut: ids, which are copied, and words.
    Whole(&'static str),
    /// Cut at its end when the line would be too long.
    Cut(&'static str),
    /// Left out, rightmost first, when the line would be too long.
    Spare(&'static str),
}

/// Blanks between two columns.
const GAP: usize = 2;

/// A text is cut to no less than this; before that, spare columns go.
const LEAST: usize = 12;

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::Whole(name) | Self::Cut(name) | Self::Spare(name) => name,
        }
    }
}

/// Columns of standard output, when it is a terminal that knows its width.
pub fn terminal_width() -> Option<usize> {
    Table::new().width().map(usize::from).filter(|width| *width >= 20)
}

/// The table as lines.
pub fn render(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> String {
    let natural = naturals(columns, rows);
    let widths = match width {
        Some(width) => fit(columns, &natural, width),
        None => natural.iter().copied().map(Some).collect(),
    };
    let kept: Vec<usize> = (0..columns.len()).filter(|at| widths[*at].is_some()).collect();
    let mut table = Table::new();
    table.force_no_tty().load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_truncation_indicator("…").set_width(u16::MAX);
    table.set_header(kept.iter().map(|at| columns[*at].name().to_uppercase()));
    for row in rows {
        let mut cells = Row::from(kept.iter().map(|at| clean(&row[*at])).collect::<Vec<_>>());
        cells.max_height(1);
        table.add_row(cells);
    }
    for (column, at) in table.column_iter_mut().zip(&kept) {
        column.set_padding((0, 2));
        let content = widths[*at].unwrap_or_default() + GAP;
        let content = u16::try_from(content).unwrap_or(u16::MAX);
        column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(content)));
    }
    format!("{}\n", table.trim_fmt())
}

/// Widest content of each column, its heading included.
fn naturals(columns: &[Column], rows: &[Vec<String>]) -> Vec<usize> {
    let mut table = Table::new();
    table.set_header(columns.iter().map(|column| column.name()));
    for row in rows {
        table.add_row(row.iter().map(|cell| clean(cell)));
    }
    table.column_max_content_widths().into_iter().map(usize::from).collect()
}

/// Width of each column, `None` for one that is left out.
fn fit(columns: &[Column], natural: &[usize], width: usize) -> Vec<Option<usize>> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let needed = |kept: &[usize]| -> usize {
        let content: usize = kept
            .iter()
            .map(|at| match columns[*at] {
                Column::Whole(_) | Column::Spare(_) => natural[*at],
                Column::Cut(_) => natural[*at].min(LEAST),
            })
            .sum();
        content + GAP * kept.len().saturating_sub(1)
    };
    while needed(&kept) > width {
        let Some(last) = kept.iter().rposition(|at| matches!(columns[*at], Column::Spare(_))) else { break };
        kept.remove(last);
    }
    let mut left = width.saturating_sub(needed(&kept));
    let mut widths: Vec<Option<usize>> = vec![None; columns.len()];
    for at in kept {
        let width = match columns[at] {
            Column::Whole(_) | Column::Spare(_) => natural[at],
            Column::Cut(_) => {
                let least = natural[at].min(LEAST);
                let more = (natural[at] - least).min(left);
                left -= more;
                least + more
            }
        };
        widths[at] = Some(width);
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] =
        [Column::Whole("id"), Column::Cut("name"), Column::Spare("engine"), Column::Cut("message")];

    fn row(name: &str, message: &str) -> Vec<String> {
        ["01890000-0000-7000-8000-000000000001", name, "codex-engine", message].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_narrow_terminal_cuts_texts_keeps_ids_and_leaves_out_what_can_be_missed() {
        let rows = [row("0001-a", &"long ".repeat(40)), row(&"n".repeat(60), "日本語 and more text here")];
        let wide = render(&COLUMNS, &rows, None);
        assert!(wide.contains(&"long ".repeat(39)) && wide.contains("ENGINE"), "{wide}");
        for width in [76, 100, 120] {
            let text = render(&COLUMNS, &rows, Some(width));
            for line in text.lines() {
                let shown: usize = line.chars().map(|c| if c.is_ascii() || c == '…' { 1 } else { 2 }).sum();
                assert!(shown <= width, "{width}: {shown}: {line}");
            }
            assert_eq!(text.lines().count(), 3, "{text}");
            assert_eq!(text.contains("codex-engine"), width > 76, "{text}");
            assert_eq!(text.matches("01890000-0000-7000-8000-000000000001").count(), 2, "{text}");
            assert!(text.contains('…'), "{text}");
        }
        let short = render(&COLUMNS, &[row("a", "b")], Some(80));
        assert!(short.contains("codex-engine") && !short.contains('…'), "{short}");
    }

    #[test]
    fn nothing_in_a_cell_makes_a_second_line() {
        let text = render(&COLUMNS, &[row("a\nb\x1b[2J", "c\r\nd")], None);
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(!text.contains('\x1b'), "{text:?}");
    }
}
