//! Finds values that look like credentials by their surroundings: user information in URLs, values
//! of keys with telling names, authorization headers, well-known token prefixes, private keys. Pure.

use super::MARK;

/// A key that holds one of these names a secret (lower case).
const KEYS: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "api_key",
    "api-key",
    "apikey",
    "access_key",
    "access-key",
    "private_key",
    "private-key",
    "authorization",
];
/// A word that begins like this and is long enough is a token of a well-known service, or one of ours.
const PREFIXES: &[&str] = &[
    "sk-",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "AIza",
    "tgz_",
    "tgs_",
    "tgl_",
];
const TOKEN_LENGTH: usize = 20;
const SCHEMES: &[&str] = &["bearer", "basic", "token"];

/// Replaces what looks like a credential.
pub(super) fn redact(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if let Some(length) = private_key(rest) {
            out.extend_from_slice(MARK.as_bytes());
            at += length;
        } else if let Some(length) = user_information(bytes, at) {
            out.extend_from_slice(b"://");
            out.extend_from_slice(MARK.as_bytes());
            at += 3 + length;
        } else if is_word(bytes[at]) {
            let word = &rest[..run(rest, is_word)];
            at += word.len();
            if looks_like_token(word) {
                out.extend_from_slice(MARK.as_bytes());
                continue;
            }
            out.extend_from_slice(word);
            if let Some((before, value)) = value_after(word, &bytes[at..]) {
                out.extend_from_slice(&bytes[at..at + before]);
                out.extend_from_slice(MARK.as_bytes());
                at += before + value;
            }
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

/// A key whose value is a secret.
pub(super) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    KEYS.iter().any(|name| key.contains(name))
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn run(bytes: &[u8], test: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| !test(byte)).unwrap_or(bytes.len())
}

fn looks_like_token(word: &[u8]) -> bool {
    word.len() >= TOKEN_LENGTH && PREFIXES.iter().any(|prefix| word.starts_with(prefix.as_bytes()))
}

/// Length of a private key block; one without an end goes as far as the text does.
fn private_key(rest: &[u8]) -> Option<usize> {
    const DASHES: &[u8] = b"-----";
    if !rest.starts_with(b"-----BEGIN ") {
        return None;
    }
    let head = &rest[..rest.len().min(80)];
    find(head, b"PRIVATE KEY-----")?;
    let Some(end) = find(rest, b"-----END ") else { return Some(rest.len()) };
    let tail = end + b"-----END ".len();
    Some(find(&rest[tail..], DASHES).map_or(rest.len(), |close| tail + close + DASHES.len()))
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Length of the user information of a URL whose `://` stands here. A bare user name of ssh is an
/// address, not a credential.
fn user_information(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?.strip_prefix(b"://")?;
    let authority = &rest[..run(rest, |byte| {
        !matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\' | 0..=b' ')
    })];
    let end = authority.iter().rposition(|&byte| byte == b'@')?;
    let user = &authority[..end];
    let ssh = bytes[..at].ends_with(b"ssh") && !user.contains(&b':');
    (!user.is_empty() && !ssh && user != MARK.as_bytes()).then_some(end)
}

/// For a word that names a secret and what follows it: bytes before the value, and of the value.
fn value_after(word: &[u8], rest: &[u8]) -> Option<(usize, usize)> {
    let lower = word.to_ascii_lowercase();
    if SCHEMES[..2].iter().any(|scheme| lower == scheme.as_bytes()) {
        return after_scheme(rest);
    }
    if !KEYS.iter().any(|key| find(&lower, key.as_bytes()).is_some()) {
        return None;
    }
    let mut before = quote(rest).len();
    before += spaces(&rest[before..]);
    match rest.get(before..)? {
        [b'=', b'=' | b'>' | b'~', ..] | [b':', b':' | b'=', ..] => return None,
        [b'=' | b':', ..] => before += 1,
        _ => return None,
    }
    before += spaces(&rest[before..]);
    let mark = quote(&rest[before..]);
    before += mark.len();
    let value = &rest[before..];
    if let Some(scheme) = SCHEMES.iter().find(|scheme| starts_with_word(value, scheme)) {
        let (gap, length) = after_scheme(&value[scheme.len()..])?;
        return Some((before + scheme.len() + gap, length));
    }
    let length = if mark.is_empty() { run(value, |byte| !ends_value(byte)) } else { quoted(value, mark) };
    let value = &value[..length];
    (!harmless(value)).then_some((before, length))
}

/// `Bearer abc`: the word after the scheme, when it is long enough to be a credential.
fn after_scheme(rest: &[u8]) -> Option<(usize, usize)> {
    let gap = spaces(rest);
    let length = run(&rest[gap..], |byte| !ends_value(byte));
    (gap > 0 && length >= 8).then_some((gap, length))
}

fn starts_with_word(value: &[u8], word: &str) -> bool {
    value.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
        && value.get(word.len()) == Some(&b' ')
}

fn spaces(bytes: &[u8]) -> usize {
    run(bytes, |byte| matches!(byte, b' ' | b'\t')).min(8)
}

/// An opening or closing quote, plain or escaped.
fn quote(bytes: &[u8]) -> &[u8] {
    let slashes = run(bytes, |byte| byte == b'\\');
    match bytes.get(slashes) {
        Some(b'"' | b'\'') if slashes <= 3 => &bytes[..=slashes],
        _ => &[],
    }
}

/// Length of a quoted value: up to the same quote again.
fn quoted(value: &[u8], mark: &[u8]) -> usize {
    let mut at = 0;
    while at < value.len() {
        if value[at] == b'\n' || value[at..].starts_with(mark) {
            return at;
        }
        // A quote escaped once more than the opening one belongs to the value.
        let slashes = run(&value[at..], |byte| byte == b'\\');
        at += if slashes >= mark.len() { slashes + 1 } else { slashes.max(1) };
        if slashes > 0
            && slashes == mark.len() - 1
            && value.get(at).is_some_and(|byte| mark.ends_with(&[*byte]))
        {
            return at - slashes;
        }
    }
    value.len()
}

const fn ends_value(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b',' | b';' | b'&' | b')' | b'}' | b']' | b'"' | b'\'' | b'\\' | b'<' | b'`')
}

/// Numbers, constants and what is redacted already tell nothing.
fn harmless(value: &[u8]) -> bool {
    value.is_empty()
        || value.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'_'))
        || [&b"null"[..], b"true", b"false", b"none", b"None", b"[redacted", MARK.as_bytes()].contains(&value)
        || matches!(value[0], b'{' | b'[' | b'$')
}
