//! Pieces of a growing log of any bytes: put together they are the log, and each is text.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
};

use proptest::prelude::*;

use super::piece;

/// Characters of every length, broken ones, and the bytes that begin or go on with one.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        any::<char>().prop_map(|letter| letter.to_string().into_bytes()),
        prop::sample::select(vec!["a\n", "\u{e9}", "\u{20ac}", "\u{1f980}", "\u{feff}"])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..4),
        prop::sample::select(vec![vec![0xf0, 0x9f], vec![0xe2, 0x82], vec![0xc3], vec![0x80], vec![0xff]]),
    ];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn pieces_put_together_are_the_log(parts in prop::collection::vec((bytes(), 0_usize..4), 1..6), most in 4_u64..40) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        File::create(&path).unwrap();
        let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
        let mut file = File::open(&path).unwrap();
        let (mut offset, mut seen, mut log) = (0, Vec::new(), Vec::new());
        let mut take = |offset: &mut u64, log: &[u8], is_complete: bool| {
            let piece = piece(&mut file, *offset, most, is_complete).unwrap();
            let (from, to) = (usize::try_from(*offset).unwrap(), usize::try_from(piece.next).unwrap());
            assert!(to - from <= usize::try_from(most).unwrap(), "no more than was asked for");
            assert_eq!(piece.text, String::from_utf8_lossy(&log[from..to]), "its own bytes, as text");
            // A whole character is never cut: what is text in the log is text in the pieces.
            seen.push(piece.text);
            *offset = piece.next;
            (piece.eof, to > from)
        };
        for (bytes, reads) in parts {
            writer.write_all(&bytes).unwrap();
            log.extend_from_slice(&bytes);
            for _ in 0..reads {
                take(&mut offset, &log, false);
            }
        }
        // The run is over: what is left comes, and then nothing.
        for _ in 0..=log.len() {
            let (eof, moved) = take(&mut offset, &log, true);
            if eof {
                break;
            }
            prop_assert!(moved, "each look goes on");
        }
        prop_assert_eq!(offset, u64::try_from(log.len()).unwrap());
        prop_assert_eq!(take(&mut offset, &log, true), (true, false));
        prop_assert_eq!(seen.concat(), String::from_utf8_lossy(&log), "the log as one text");
    }
}

#[test]
fn a_character_that_has_not_arrived_whole_waits_for_its_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, [b'a', 0xe2, 0x82]).unwrap();
    let mut file = File::open(&path).unwrap();
    let first = piece(&mut file, 0, 1024, false).unwrap();
    assert_eq!((first.text.as_str(), first.next, first.eof), ("a", 1, true));
    let last = piece(&mut file, 1, 1024, true).unwrap();
    assert_eq!((last.text.as_str(), last.next, last.eof), ("\u{fffd}", 3, true), "nothing follows any more");
    std::fs::write(&path, "a\u{20ac}").unwrap();
    assert_eq!(piece(&mut file, 1, 1024, false).unwrap().text, "\u{20ac}");
    let past = piece(&mut file, 99, 1024, true).unwrap();
    assert_eq!((past.text.as_str(), past.next, past.eof), ("", 99, true), "an offset past the end");
}
