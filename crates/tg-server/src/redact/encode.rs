//! The forms in which a secret value may turn up: as it is, escaped, and encoded. Pure.

use std::fmt::Write;

/// Every form of a value.
pub(super) fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let escaped = json(secret);
    let mut forms = vec![
        bytes.to_vec(),
        json(&escaped).into_bytes(),
        escaped.into_bytes(),
        percent(bytes, true).into_bytes(),
        percent(bytes, false).into_bytes(),
        percent(bytes, true).replace("%20", "+").into_bytes(),
    ];
    for alphabet in [STANDARD, URL_SAFE] {
        for shift in 0..3 {
            forms.push(base64_core(bytes, shift, alphabet));
        }
    }
    forms
}

/// The inside of the value as a JSON string.
fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

fn percent(bytes: &[u8], upper: bool) -> String {
    let mut out = String::new();
    for &byte in bytes {
        let written = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                write!(out, "{}", char::from(byte))
            }
            _ if upper => write!(out, "%{byte:02X}"),
            _ => write!(out, "%{byte:02x}"),
        };
        written.expect("writing to a string cannot fail");
    }
    out
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The part of a base64 text that depends on the value alone when the value begins `shift` bytes
/// after a group of three: what comes before and after it shares the characters at the edges.
fn base64_core(value: &[u8], shift: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(value);
    let first = (shift * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    (first..end)
        .map(|index| {
            let bit = index * 6;
            let pair =
                (u16::from(bytes[bit / 8]) << 8) | u16::from(bytes.get(bit / 8 + 1).copied().unwrap_or(0));
            alphabet[usize::from((pair >> (10 - bit % 8)) & 0x3f)]
        })
        .collect()
}
