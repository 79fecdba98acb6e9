//! Reads PASS or FAIL out of a QA report, nothing in between.
//!
//! It never guesses: odd words, contradictions and silence are [`Verdict::Unclear`], which every
//! caller treats as not passed. A FAIL is never softened.

/// What a QA report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every verdict line is exactly `Verdict: PASS`.
    Pass {
        /// The verdict line as written, trimmed.
        line: String,
    },
    /// Every verdict line is exactly `Verdict: FAIL`.
    Fail {
        /// The verdict line as written, trimmed.
        line: String,
    },
    /// No exact verdict: not passed, handled as FAIL.
    Unclear {
        /// The line that spoiled it, trimmed; `None` when there is no verdict line.
        line: Option<String>,
        /// Cause and remedy.
        why: String,
    },
}

impl Verdict {
    /// Only an exact PASS passes.
    pub const fn is_pass(&self) -> bool {
        matches!(self, Self::Pass { .. })
    }

    /// The verdict line (wire: `verdict_line`).
    pub fn line(&self) -> Option<&str> {
        match self {
            Self::Pass { line } | Self::Fail { line } => Some(line),
            Self::Unclear { line, .. } => line.as_deref(),
        }
    }

    /// Why there is no exact verdict.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Pass { .. } | Self::Fail { .. } => None,
            Self::Unclear { why, .. } => Some(why),
        }
    }

    /// Word kept in `runtime_state.qa_verdict`: `pass` or `fail`.
    pub const fn word(&self) -> &'static str {
        if self.is_pass() { "pass" } else { "fail" }
    }
}

/// Longest verdict line that is repeated to people, in characters.
const LINE_CHARACTERS: usize = 200;

/// Reads the verdict of a report.
pub fn read(report: &str) -> Verdict {
    let mut verdict = Verdict::Unclear {
        line: None,
        why: if report.trim().is_empty() {
            "the report is empty; run QA again".to_owned()
        } else {
            "the report has no line `Verdict: PASS` or `Verdict: FAIL`; run QA again".to_owned()
        },
    };
    for line in report.split(is_line_end) {
        let bare = without_marks(line);
        if !bare.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("verdict")) {
            continue;
        }
        let line: String = line.trim().chars().take(LINE_CHARACTERS).collect();
        let found = if bare.eq_ignore_ascii_case("verdict: pass") {
            Verdict::Pass { line }
        } else if bare.eq_ignore_ascii_case("verdict: fail") {
            Verdict::Fail { line }
        } else {
            let why =
                "a verdict line is neither `Verdict: PASS` nor `Verdict: FAIL`; run QA again".to_owned();
            return Verdict::Unclear { line: Some(line), why };
        };
        verdict = match (&verdict, found) {
            (Verdict::Pass { .. }, Verdict::Fail { line })
            | (Verdict::Fail { .. }, Verdict::Pass { line }) => {
                let why = "the report contradicts itself: PASS and FAIL; run QA again".to_owned();
                return Verdict::Unclear { line: Some(line), why };
            }
            (_, found) => found,
        };
    }
    verdict
}

/// Every character that some reader takes for the end of a line; a verdict cannot hide behind one.
const fn is_line_end(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The line without heading and quote marks at its ends and without emphasis and backticks.
fn without_marks(line: &str) -> String {
    let kept: String = line.chars().filter(|mark| !matches!(mark, '*' | '_' | '`')).collect();
    let is_edge = |mark: char| mark.is_whitespace() || matches!(mark, '#' | '>' | '"' | '“' | '”');
    kept.trim_matches(is_edge).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        let passes = [
            "Verdict: PASS",
            "**Verdict: PASS**",
            "**Verdict:** PASS",
            "Verdict: **PASS**",
            "## Verdict: PASS",
            "> verdict: pass",
            "`Verdict: PASS`",
            "Summary\n\nAll good.\r\n\r\n  Verdict: PASS  \r\n",
            "Verdict: PASS\n…\nVERDICT: PASS",
            "The text Verdict: FAIL in a sentence is no verdict line\nVerdict: PASS",
        ];
        let fails =
            ["Verdict: FAIL", "### **Verdict: FAIL** ###", "Verdict: FAIL\nVerdict: FAIL", "_verdict: fail_"];
        let unclear = [
            "",
            "  \n ",
            "Looks good to me. PASS",
            "Verdict: maybe",
            "Verdict: PASS (no failures)",
            "Verdict: PASS\nVerdict: FAIL",
            "Verdict: FAIL\rVerdict: PASS",
            "Verdict: PASS\nVerdict: pending",
            "Verdict PASS",
            "Verdict:PASS",
            "Verdict:",
            "Verdict\nPASS",
            "Verdict: PASS.",
            "Verdict: PASSED",
            "Verdict: PASS / FAIL",
            "Verdict: NOT PASS",
            "Verdicts: PASS",
            "I say Verdict: PASS",
            "~~Verdict: PASS~~",
        ];
        for report in passes {
            assert!(read(report).is_pass(), "{report:?}: {:?}", read(report));
        }
        for report in fails {
            assert!(matches!(read(report), Verdict::Fail { .. }), "{report:?}: {:?}", read(report));
        }
        for report in unclear {
            assert!(matches!(read(report), Verdict::Unclear { .. }), "{report:?}: {:?}", read(report));
            assert_eq!(read(report).word(), "fail");
        }
        assert_eq!(read("x\n **Verdict: PASS** \n").line(), Some("**Verdict: PASS**"));
        assert_eq!(read("Verdict: maybe").line(), Some("Verdict: maybe"));
        assert_eq!(read("nothing").line(), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(\\PC|[#>*_`\r\n]|Verdict: |PASS|FAIL|verdict){0,40}") {
            let verdict = read(&text);
            if verdict.is_pass() {
                prop_assert!(text.to_ascii_lowercase().contains("pass"));
            }
        }

        #[test]
        fn a_fail_line_never_passes(before in "(\\PC|\n){0,40}", after in "(\\PC|\n){0,40}") {
            let fail = format!("{before}\nVerdict: FAIL\n{after}");
            prop_assert!(!read(&fail).is_pass());
        }

        #[test]
        fn words_after_a_pass_spoil_it(words in "[a-z(.,!]{1,20}") {
            let spoiled = format!("Verdict: PASS {words}");
            prop_assert!(!read(&spoiled).is_pass());
        }
    }
}
