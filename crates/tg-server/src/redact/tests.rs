//! Redaction: known values in every form and split anywhere, and values known by their surroundings.

use proptest::prelude::*;

use super::{MARK, Redactor};
use crate::secret::Secret;

fn redactor(secrets: &[&str]) -> Redactor {
    Redactor::new(&secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect::<Vec<_>>())
}

#[test]
fn known_values_go_in_every_form() {
    let redactor = redactor(&["pa ss/wo\"rd+9\nline two"]);
    for text in [
        "x pa ss/wo\"rd+9\nline two y",
        r#"{"v":"pa ss/wo\"rd+9\nline two"}"#,
        r#"{"v":"{\"v\":\"pa ss/wo\\\"rd+9\\nline two\"}"}"#,
        "?v=pa%20ss%2Fwo%22rd%2B9%0Aline%20two",
        "?v=pa%20ss%2fwo%22rd%2b9%0aline%20two",
        "?v=pa+ss%2Fwo%22rd%2B9%0Aline+two",
        "cGEgc3Mvd28icmQrOQpsaW5lIHR3bw==",
        "eHBhIHNzL3dvInJkKzkKbGluZSB0d28=",
        "eHlwYSBzcy93byJyZCs5CmxpbmUgdHdv",
    ] {
        let shown = redactor.text(text);
        assert!(shown.contains(MARK), "{text} -> {shown}");
        assert!(
            !shown.contains("line") && !shown.contains("bGluZ") && !shown.contains("xpbm"),
            "{text} -> {shown}"
        );
    }
}

#[test]
fn a_longer_value_goes_before_its_part() {
    assert_eq!(redactor(&["abcd", "abcdefgh"]).text("1 abcdefgh 2 abcd"), "1 [redacted] 2 [redacted]");
}

#[test]
fn short_values_and_ordinary_text_stay() {
    let text = "abc 12 input_tokens: 42, \"output_tokens\":56, tokens = 7; git@host:x ssh://git@host/x";
    assert_eq!(redactor(&["abc"]).text(text), text);
}

#[test]
fn credentials_go_by_their_surroundings() {
    let redactor = Redactor::default();
    for (text, shown) in [
        ("postgres://user:hunter2@db:5432/x", "postgres://[redacted]@db:5432/x"),
        ("redis://:hunter2@r/0", "redis://[redacted]@r/0"),
        ("https://ghtoken@host/x.git", "https://[redacted]@host/x.git"),
        ("API_TOKEN=hunter2 next", "API_TOKEN=[redacted] next"),
        ("password: hunter2", "password: [redacted]"),
        ("{\"api_key\": \"hunter2\", \"a\": 1}", "{\"api_key\": \"[redacted]\", \"a\": 1}"),
        (
            "{\"o\":\"{\\\"client_secret\\\":\\\"hunter2\\\",\\\"a\\\":1}\"}",
            "{\"o\":\"{\\\"client_secret\\\":\\\"[redacted]\\\",\\\"a\\\":1}\"}",
        ),
        ("password = 'hunter\\'2 x' y", "password = '[redacted]' y"),
        ("?access_token=hunter2&a=b", "?access_token=[redacted]&a=b"),
        ("Authorization: Bearer hunter2hunter2", "Authorization: Bearer [redacted]"),
        ("-H 'authorization: Basic aHVudGVyMg==' x", "-H 'authorization: Basic [redacted]' x"),
        ("bearer hunter2hunter2", "bearer [redacted]"),
        ("use ghp_hunter2hunter2hunter2 now", "use [redacted] now"),
        ("our tgz_0123456789abcdef0123456789abcdef", "our [redacted]"),
        ("a cookie of tgs_0123456789abcdef0123456789abcdef", "a cookie of [redacted]"),
        ("/console#login=tgl_0123456789abcdef0123456789abcdef", "/console#login=[redacted]"),
        ("the prefix tgz_01234567 is no secret", "the prefix tgz_01234567 is no secret"),
        ("-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----\nx", "[redacted]\nx"),
    ] {
        assert_eq!(redactor.text(text), shown);
    }
}

#[test]
fn the_known_form_leaves_guesses_alone() {
    let redactor = redactor(&["hunter2hunter2"]);
    assert_eq!(redactor.known("password: other hunter2hunter2"), "password: other [redacted]");
}

#[test]
fn a_stream_gives_a_whole_line_at_once() {
    let mut stream = redactor(&["hunter2hunter2"]).stream();
    assert_eq!(stream.push(b"one hunter2"), b"");
    assert_eq!(stream.push(b"hunter2 two\nthree"), b"one [redacted] two\n");
    assert_eq!(stream.finish(), b"three");
}

#[test]
fn a_stream_keeps_little_of_an_endless_line() {
    let mut stream = redactor(&["hunter2hunter2"]).stream();
    let mut shown = 0;
    for _ in 0..1000 {
        shown += stream.push(&[b'x'; 4096]).len();
        assert!(stream.pending.len() <= super::LINE_WINDOW + 4096);
    }
    assert!(shown > 3_900_000);
}

proptest! {
    #[test]
    fn no_split_lets_a_value_through(
        before in "[a-z \\n]{0,30}", after in "[a-z \\n]{0,30}", cuts in prop::collection::vec(0usize..90, 0..6),
    ) {
        let secret = "S3cr\net/Vå lue\"x";
        let redactor = redactor(&[secret]);
        let text = format!("{before}{secret}{after}");
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let mut stream = redactor.stream();
        let mut shown = Vec::new();
        let mut from = 0;
        for cut in cuts {
            shown.extend(stream.push(&text.as_bytes()[from..cut]));
            from = cut;
        }
        shown.extend(stream.finish());
        prop_assert_eq!(String::from_utf8(shown).unwrap(), format!("{before}{MARK}{after}"));
    }

    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut stream = redactor(&["hunter2hunter2"]).stream();
        let mut shown = stream.push(&bytes);
        shown.extend(stream.finish());
        drop(shown);
    }
}

#[test]
fn a_value_cut_in_pieces_is_taken_out_of_each() {
    let secret = "correct-horse-battery";
    let redactor = Redactor::new(&[Secret::new(secret.to_owned())]);
    let piece = |text: &str| String::from_utf8(redactor.piece(text.as_bytes())).unwrap();
    for cut in 0..=secret.len() {
        let (head, tail) = secret.split_at(cut);
        let shown = piece(&format!("say {head}")) + &piece(&format!("{tail} again"));
        let longest = (0..secret.len())
            .flat_map(|from| (from + 1..=secret.len()).map(move |to| (from, to)))
            .filter(|(from, to)| shown.contains(&secret[*from..*to]))
            .map(|(from, to)| to - from)
            .max()
            .unwrap_or_default();
        assert!(longest < 4, "cut at {cut}: {shown}");
        assert!(shown.starts_with("say ") && shown.ends_with(" again"), "{shown}");
    }
    assert_eq!(piece("horse"), "[redacted]", "a piece from within");
    assert_eq!(piece("plain text\n"), "plain text\n");
    assert_eq!(piece(""), "");
}

#[test]
fn texts_within_json_are_redacted_with_their_keys() {
    let redactor = Redactor::new(&[Secret::new("hunter2hunter2".to_owned())]);
    let given = serde_json::json!({"a": ["x hunter2hunter2", 5, null], "api_key": "abc", "max_tokens": 7,
        "nested": {"note": "password=open-sesame"}});
    let expected = serde_json::json!({"a": ["x [redacted]", 5, null], "api_key": "[redacted]", "max_tokens": 7,
        "nested": {"note": "password=[redacted]"}});
    assert_eq!(redactor.json(given), expected);
}
