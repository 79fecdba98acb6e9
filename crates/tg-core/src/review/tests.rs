//! Paths that are refused, and a review that cannot be forged from inside a comment.

use proptest::prelude::*;

use super::*;

fn comment(id: i64, path: &str, line: i64, body: &str) -> ReviewComment {
    ReviewComment {
        id: CommentId(id),
        protocol_run_id: RunId(1),
        path: path.to_owned(),
        side: Side::New,
        line,
        sha: "a".repeat(40),
        body: body.to_owned(),
        state: CommentState::Open,
        author: Some("ada".to_owned()),
        created_at: 1,
        updated_at: 1,
    }
}

#[test]
fn a_path_stays_below_the_worktree() {
    for path in ["a", "src/main.rs", ".github/x", "a..b/c", "-x", ":(top)x", "ä b/\u{1F600}", "a\\b", "*"] {
        assert_eq!(FilePath::parse(path).unwrap().as_str(), path);
    }
    let long = "x".repeat(4097);
    for path in ["", "/", "/etc/passwd", "..", "a/../b", "./a", "a/.", "a//b", "a/", "a\nb", "a\0b", &long] {
        let error = FilePath::parse(path).expect_err(path).to_string();
        assert!(error.contains("is not allowed") && error.len() < 400, "{error}");
    }
}

#[test]
fn a_folder_covers_its_files_and_no_namesake() {
    let path = FilePath::parse("src").unwrap();
    assert!(path.covers(b"src") && path.covers(b"src/\xff"));
    assert!(!path.covers(b"src2") && !path.covers(b"sr") && !path.covers(b"a/src"));
}

#[test]
fn a_commit_is_forty_small_hex_digits() {
    assert!(is_commit_id(&"0a".repeat(20)));
    for wrong in ["", "HEAD", &"A".repeat(40), &"a".repeat(39), &"a".repeat(41), &"g".repeat(40)] {
        assert!(!is_commit_id(wrong), "{wrong}");
    }
}

#[test]
fn comments_are_put_together_by_path_and_line() {
    let review = Review::of(vec![
        comment(1, "b.rs", 2, "last"),
        comment(2, "a.rs", 10, "second\nof two lines"),
        comment(3, "a.rs", 9, "first\n"),
    ]);
    let sha = "a".repeat(40);
    assert_eq!(
        review.text,
        format!(
            "a.rs, line 9 of the new side, commit {sha}, by ada:\n> first\n\n\
             a.rs, line 10 of the new side, commit {sha}, by ada:\n> second\n> of two lines\n\n\
             b.rs, line 2 of the new side, commit {sha}, by ada:\n> last\n"
        )
    );
    assert_eq!(review.comments.iter().map(|comment| comment.id.0).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(review.version().map(|version| version.len()), Some(12));
    assert_eq!((Review::of(Vec::new()).text.as_str(), Review::default().version()), ("", None));
}

#[test]
fn what_does_not_fit_waits_and_is_the_newest() {
    let large = "x".repeat(BODY_CAP);
    let all: Vec<_> = (1..=20).rev().map(|id| comment(id, "a", id, &large)).collect();
    let review = Review::of(all);
    assert!(review.text.len() <= REVIEW_CAP, "{}", review.text.len());
    assert_eq!(review.comments.iter().map(|comment| comment.id.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
}

proptest! {
    #[test]
    fn every_line_of_a_comment_is_quoted(body in any::<String>(), author in any::<String>()) {
        let mut one = comment(1, "a.rs", 1, &body);
        one.author = Some(author);
        let text = Review::of(vec![one]).text;
        let mut lines = text.split('\n');
        prop_assert!(lines.next().unwrap().starts_with("a.rs, line 1 of the new side"));
        prop_assert!(lines.all(|line| line.is_empty() || line.starts_with("> ")), "{text}");
        prop_assert!(text.chars().all(|c| c == '\n' || c == '\t' || plain::is_plain(c)));
        prop_assert!(!text.contains("\n\n"));
    }
}
