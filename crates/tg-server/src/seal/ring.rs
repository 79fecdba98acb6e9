//! The keys in force and the cipher. The first key seals; every key opens what it sealed.

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use sha2::{Digest, Sha256};
use tg_core::canonical::hex;

use super::{Place, SealError, encode};
use crate::secret::Secret;

/// Bytes of a nonce. Random ones never meet at this length.
const NONCE: usize = 24;

/// A text as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which key opens it.
    pub key_id: String,
    /// Nonce, cipher text and tag in hex.
    pub text: String,
}

/// One key.
pub(super) struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

/// Keys, newest first.
pub struct Ring(Vec<Key>);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// Reads keys separated by commas or blanks, newest first.
pub(super) fn read_keys(text: &str) -> Result<Vec<Key>, SealError> {
    let keys: Vec<Key> = text
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|part| !part.is_empty())
        .map(|part| encode::read_key(part).map(|bytes| Key::new(&bytes)).ok_or(SealError::BadKey))
        .collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(SealError::BadKey) } else { Ok(keys) }
}

impl Key {
    fn new(bytes: &[u8; 32]) -> Self {
        // Names the key and tells nothing of it: the digest of 32 random bytes has no way back.
        let digest = Sha256::new().chain_update(b"tasksgodzilla key id 1").chain_update(bytes).finalize();
        Self { id: hex(&digest[..8]), cipher: XChaCha20Poly1305::new(bytes.into()) }
    }
}

impl Ring {
    /// A ring of these keys; `None` without any.
    pub(super) fn new(mut keys: Vec<Key>) -> Option<Self> {
        let mut seen = std::collections::BTreeSet::new();
        keys.retain(|key| seen.insert(key.id.clone()));
        if keys.is_empty() { None } else { Some(Self(keys)) }
    }

    /// Id of the key that seals.
    pub fn newest(&self) -> &str {
        self.0.first().map_or("", |key| &key.id)
    }

    /// Can it open what this key sealed?
    pub fn holds(&self, key_id: &str) -> bool {
        self.0.iter().any(|key| key.id == key_id)
    }

    /// Seals with the newest key.
    pub(super) fn seal(&self, place: Place<'_>, text: &Secret<String>) -> Result<Sealed, SealError> {
        let key = self.0.first().ok_or(SealError::BadKey)?;
        let mut nonce = [0_u8; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let payload = Payload { msg: text.expose().as_bytes(), aad: &place.bytes() };
        let cipher = key.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Refused)?;
        Ok(Sealed { key_id: key.id.clone(), text: hex(&[nonce.as_slice(), &cipher].concat()) })
    }

    /// Opens with the key that sealed it.
    pub(super) fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret<String>, SealError> {
        let key = self
            .0
            .iter()
            .find(|key| key.id == sealed.key_id)
            .ok_or_else(|| SealError::UnknownKey(sealed.key_id.chars().take(16).collect()))?;
        let bytes = encode::from_hex(&sealed.text).ok_or(SealError::Refused)?;
        let (nonce, cipher) = bytes.split_first_chunk::<NONCE>().ok_or(SealError::Refused)?;
        let payload = Payload { msg: cipher, aad: &place.bytes() };
        let text = key.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Refused)?;
        String::from_utf8(text).map(Secret::new).map_err(|_| SealError::Refused)
    }
}
