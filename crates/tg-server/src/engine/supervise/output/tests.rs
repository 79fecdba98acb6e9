//! Lines out of pieces of any size.

use proptest::prelude::*;

use super::{LINE_BYTES, Line, Lines};

fn whole(bytes: &[u8]) -> Line {
    Line { bytes: bytes.to_vec(), dropped: 0 }
}

#[test]
fn a_line_is_cut_at_its_cap_and_the_next_is_whole() {
    let mut lines = Lines::default();
    for _ in 0..3 {
        assert_eq!(lines.push(&vec![b'x'; LINE_BYTES / 2 + 1]), []);
    }
    let found = lines.push(b"y\nnext\nlast");
    let dropped = 3 * (LINE_BYTES as u64 / 2 + 1) + 1 - LINE_BYTES as u64;
    assert_eq!((found[0].bytes.len(), found[0].dropped), (LINE_BYTES, dropped));
    assert_eq!(found[1..], [whole(b"next")]);
    assert_eq!(lines.finish(), Some(whole(b"last")));
}

proptest! {
    #[test]
    fn pieces_make_no_difference(text in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200), size in 1usize..50) {
        let mut lines = Lines::default();
        let mut found: Vec<Line> = text.chunks(size).flat_map(|piece| lines.push(piece)).collect();
        found.extend(lines.finish());
        let mut expected: Vec<Line> = text.split(|&byte| byte == b'\n').map(whole).collect();
        if expected.last().is_some_and(|line| line.bytes.is_empty()) {
            expected.pop();
        }
        prop_assert_eq!(found, expected);
    }
}
