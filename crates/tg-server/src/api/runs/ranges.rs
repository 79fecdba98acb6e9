//! `Range` of a request for a file: one range of bytes, or the whole. What is no such range is passed by,
//! as HTTP asks.

use axum::http::{HeaderMap, header};

/// Bytes that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    Whole,
    /// From the first to the last byte, both included.
    Part(u64, u64),
    /// None of the file.
    Nothing,
}

/// Reads the range that a request asks of a file of this length.
pub fn wanted(headers: &HeaderMap, length: u64) -> Wanted {
    // What `If-Range` names has changed as far as we know: the file grows.
    if headers.contains_key(header::IF_RANGE) {
        return Wanted::Whole;
    }
    let text = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    text.and_then(|text| read(text, length)).unwrap_or(Wanted::Whole)
}

fn read(text: &str, length: u64) -> Option<Wanted> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || last.contains([',', '-']) {
        return None;
    }
    let number = |text: &str| {
        let text = text.trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    if first.trim().is_empty() {
        let count: u64 = number(last)?;
        let part = Wanted::Part(length.saturating_sub(count), length.saturating_sub(1));
        return Some(if count == 0 || length == 0 { Wanted::Nothing } else { part });
    }
    let first = number(first)?;
    let last = if last.trim().is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some(if first >= length { Wanted::Nothing } else { Wanted::Part(first, last.min(length - 1)) })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{Wanted, wanted};

    #[test]
    fn one_range_is_read_and_everything_else_is_the_whole() {
        use Wanted::{Nothing, Part, Whole};
        for (text, length, expected) in [
            ("bytes=0-3", 10, Part(0, 3)),
            ("bytes=0-", 10, Part(0, 9)),
            ("bytes=9-", 10, Part(9, 9)),
            ("bytes=3-99", 10, Part(3, 9)),
            ("Bytes = 3 - 4", 10, Part(3, 4)),
            ("bytes=-4", 10, Part(6, 9)),
            ("bytes=-99", 10, Part(0, 9)),
            ("bytes=10-", 10, Nothing),
            ("bytes=99999999999999999999-", 10, Nothing),
            ("bytes=-0", 10, Nothing),
            ("bytes=0-", 0, Nothing),
            ("bytes=-1", 0, Nothing),
            ("bytes=4-3", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("lines=0-3", 10, Whole),
            ("bytes", 10, Whole),
            ("", 10, Whole),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(text))]);
            assert_eq!(wanted(&headers, length), expected, "{text} of {length}");
        }
        let mut headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static("bytes=0-3"))]);
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"x\""));
        assert_eq!(wanted(&headers, 10), Whole, "If-Range names something else");
        assert_eq!(wanted(&HeaderMap::new(), 10), Whole);
    }
}
