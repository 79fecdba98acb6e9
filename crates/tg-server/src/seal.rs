//! Encryption of secrets at rest: XChaCha20-Poly1305 under a key that never lies in the database.
//! Knows keys and texts, no table. A sealed text opens only in the place it was sealed for.

mod encode;
mod file;
mod ring;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

pub use ring::{Ring, Sealed};

use crate::{config::Config, secret::Secret};

/// The setting that names the keys.
pub const VARIABLE: &str = "TASKSGODZILLA_SECRET_KEY";

/// Why a text cannot be sealed or opened. Never holds a part of a key or of a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A key is not 32 bytes in base64 or hex.
    #[error("a secret key must be 32 bytes in base64 or hex; make one with `openssl rand -base64 32`")]
    BadKey,
    /// The key file cannot be used.
    #[error("the key file {path} {problem}")]
    File {
        /// Where it lies.
        path: String,
        /// Cause and remedy.
        problem: String,
    },
    /// Sealed with a key that is not here.
    #[error(
        "the secret was sealed with key {0}, which is not here; add that key to TASKSGODZILLA_SECRET_KEY \
         (the first seals, all open)"
    )]
    UnknownKey(String),
    /// Does not open: altered, or moved from another project or name.
    #[error("the sealed secret does not open in this place: it was altered or moved; store it anew")]
    Refused,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes; the secret was not stored")]
    Random,
}

/// What a secret belongs to. It is sealed in, so that a row moved elsewhere does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Project.
    pub project: i64,
    /// Name of the secret.
    pub field: &'a str,
}

impl Place<'_> {
    /// Bytes that differ for any two places.
    fn bytes(self) -> Vec<u8> {
        format!("tasksgodzilla project secret 1\0{}\0{}", self.project, self.field).into_bytes()
    }
}

/// Seals and opens with the keys in force; cheap to clone. The key file is read, or made, when it is
/// first needed: a command that touches no secret touches no key.
#[derive(Clone)]
pub struct Seal {
    given: Secret<Option<String>>,
    file: PathBuf,
    ring: Arc<OnceLock<Ring>>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[seal]")
    }
}

impl Seal {
    /// The keys of these settings.
    pub fn new(config: &Config) -> Self {
        Self {
            given: config.secret_keys.clone(),
            file: config.home.secret_key(),
            ring: Arc::new(OnceLock::new()),
        }
    }

    /// The keys: those of the setting first, then those of the key file, which is made when there is
    /// no key at all.
    ///
    /// # Errors
    /// When a key is malformed, or the file cannot be used.
    pub fn ring(&self) -> Result<&Ring, SealError> {
        if let Some(ring) = self.ring.get() {
            return Ok(ring);
        }
        let mut keys = match self.given.expose() {
            Some(text) => ring::read_keys(text)?,
            None => Vec::new(),
        };
        keys.extend(match file::read(&self.file)? {
            Some(text) => ring::read_keys(text.expose())?,
            None if keys.is_empty() => ring::read_keys(file::create(&self.file)?.expose())?,
            None => Vec::new(),
        });
        let ring = Ring::new(keys).ok_or(SealError::BadKey)?;
        Ok(self.ring.get_or_init(|| ring))
    }

    /// Seals a text for a place, with the newest key.
    ///
    /// # Errors
    /// When there is no usable key or no randomness.
    pub fn seal(&self, place: Place<'_>, text: &Secret<String>) -> Result<Sealed, SealError> {
        self.ring()?.seal(place, text)
    }

    /// Opens a text in its place.
    ///
    /// # Errors
    /// When its key is not here, or it was altered or moved.
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret<String>, SealError> {
        self.ring()?.open(place, sealed)
    }
}

/// Do these texts hold usable keys? For the check of the settings at start.
///
/// # Errors
/// When one is malformed.
pub fn check_keys(text: &str) -> Result<(), SealError> {
    ring::read_keys(text).map(drop)
}
