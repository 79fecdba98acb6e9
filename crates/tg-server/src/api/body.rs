//! Reads the body of a request, within its cap, its time and the memory that all bodies share: a thousand
//! clients that send slowly cost no more than a few. Knows no JSON.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio::{sync::Semaphore, time::timeout};

use super::error::ApiError;

/// Memory for the bodies that are being read.
pub struct Room(Semaphore);

/// Time a body has to arrive.
const TIME: Duration = Duration::from_secs(30);
/// Bytes of a body that cost no place; most bodies are shorter.
const FREE: usize = 16 * 1024;
/// Bodies beyond that which are read at once; others wait for their turn.
const PLACES: usize = 16;

impl Default for Room {
    fn default() -> Self {
        Self(Semaphore::new(PLACES))
    }
}

impl Room {
    /// The whole body, of `most` bytes at most.
    pub async fn whole(&self, body: Body, most: usize) -> Result<Bytes, ApiError> {
        // Whoever says beforehand that it is too much need not send it.
        if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
            return Err(ApiError::TooLarge);
        }
        match timeout(TIME, self.read(body, most)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ApiError::Slow),
        }
    }

    async fn read(&self, mut body: Body, most: usize) -> Result<Bytes, ApiError> {
        let mut bytes: Vec<u8> = Vec::new();
        let mut place = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| broken())?.into_data() else { continue };
            let length = bytes.len() + data.len();
            if length > most {
                return Err(ApiError::TooLarge);
            }
            if length > FREE && place.is_none() {
                place = Some(self.0.acquire().await.map_err(|_| ApiError::Unavailable)?);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.into())
    }
}

fn broken() -> ApiError {
    ApiError::Demand {
        code: "body_broken",
        detail: "the body broke off or is not framed as HTTP says; send it again".to_owned(),
    }
}
