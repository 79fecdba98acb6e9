//! Text on one line that cannot steer a terminal or turn the direction of what stands around it.
//! For texts of others that we repeat in sentences, logs and commit messages.

/// Neither a control character nor one that is invisible or turns the direction of text.
pub const fn is_plain(character: char) -> bool {
    !matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The text on one line: runs of white space and of characters that are not plain become one space.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(|character: char| character.is_whitespace() || !is_plain(character)) {
        if !word.is_empty() {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_line_drops_what_steers() {
        assert_eq!(one_line(" a\r\n\tb \u{1b}[31mred\u{202e}x\u{0} "), "a b [31mred x");
        assert_eq!(one_line("\u{1b}\n"), "");
        for steering in ["\u{9b}", "\u{7f}", "\u{feff}", "\u{2066}", "\u{e0041}", "\u{61c}", "\u{200b}"] {
            assert_eq!(one_line(&format!("a{steering}b")), "a b", "{steering:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gets_plain(text in any::<String>()) {
            let line = one_line(&text);
            prop_assert!(line.chars().all(is_plain) && line.trim() == line && !line.contains("  "));
            prop_assert_eq!(one_line(&line), line);
        }
    }
}
