//! Random credentials: tokens, session cookies, codes of login links. 256 random bits as text; at rest
//! only the SHA-256 of it. Knows neither database nor HTTP.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tg_core::canonical::hex;

use crate::secret::Secret;

mod admin;
#[cfg(test)]
mod tests;

pub use admin::{AdminToken, FileError, make_file, read_file, replace_file};

/// What a credential is for; its text begins with the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A token for `Authorization: Bearer`.
    Token,
    /// The value of a session cookie.
    Session,
    /// The code of a login link.
    LoginCode,
}

impl Kind {
    const fn lead(self) -> &'static str {
        match self {
            Self::Token => "tgz_",
            Self::Session => "tgs_",
            Self::LoginCode => "tgl_",
        }
    }
}

/// Random bytes of a credential: nobody guesses 256 bits.
const BYTES: usize = 32;
/// Characters of a text that may be stored and shown: 32 of its 256 random bits.
const PREFIX: usize = 12;
/// Longest text that is looked at.
const LONGEST: usize = 512;

/// A credential that was just made; its text is shown once and kept nowhere.
#[derive(Debug)]
pub struct Fresh {
    /// The text.
    pub text: Secret<String>,
    /// What is stored of it.
    pub stored: Stored,
}

/// What is stored of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// How its text begins.
    pub prefix: String,
    /// SHA-256 of its text.
    pub digest: Digest,
}

/// SHA-256 of a credential's text. Compared in constant time.
#[derive(Clone)]
pub struct Digest([u8; 32]);

/// The system has no randomness to give.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(getrandom::Error);

/// Makes a credential.
///
/// # Errors
/// When the system gives no random bytes.
pub fn make(kind: Kind) -> Result<Fresh, NoRandomness> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    let text = format!("{}{}", kind.lead(), hex(&bytes));
    let stored = Stored { prefix: text[..PREFIX].to_owned(), digest: Digest::of(&text) };
    Ok(Fresh { text: Secret::new(text), stored })
}

/// What would be stored of a text, if it has the form of such a credential. A text of that form holds
/// 256 bits, so looking for it needs no guard against guessing.
pub fn read(kind: Kind, text: &str) -> Option<Stored> {
    let digits = text.strip_prefix(kind.lead())?;
    let legal = digits.len() == 2 * BYTES && digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    legal.then(|| Stored { prefix: text[..PREFIX].to_owned(), digest: Digest::of(text) })
}

/// Could the text be a credential at all? Longer ones are not even hashed.
pub const fn is_plausible(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST
}

impl Digest {
    /// Of this text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// As stored.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Is it the digest stored under this text? Takes as long for every text of the same length.
    pub fn is_stored_as(&self, stored: &str) -> bool {
        self.to_hex().as_bytes().ct_eq(stored.as_bytes()).into()
    }

    /// A fingerprint that may be stored beside what the credential opened: it tells whether the same
    /// credential is still in force, and cannot be compared with the digest itself.
    pub fn mark(&self) -> String {
        hex(&Sha256::digest([b"mark:".as_slice(), &self.0].concat())[..16])
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[digest]")
    }
}
