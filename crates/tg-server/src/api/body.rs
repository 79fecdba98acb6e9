//! Reads the body of a request, within its cap, its time and the memory that all bodies share: a thousand
//! clients that send slowly cost no more than a few. Knows no JSON.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio::{sync::Semaphore, time::timeout};

use super::error::ApiError;

/// Memory and time for the bodies that are being read.
pub struct Room {
    places: Semaphore,
    time: Duration,
}

/// Time a body has to arrive.
const TIME: Duration = Duration::from_secs(30);
/// Bytes of a body that cost no place; most bodies are shorter.
const FREE: usize = 16 * 1024;
/// Bodies beyond that which are read at once; others wait for their turn.
const PLACES: usize = 16;

impl Default for Room {
    fn default() -> Self {
        Self { places: Semaphore::new(PLACES), time: TIME }
    }
}

impl Room {
    /// The whole body, of `most` bytes at most.
    pub async fn whole(&self, body: Body, most: usize) -> Result<Bytes, ApiError> {
        // Whoever says beforehand that it is too much need not send it.
        if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
            return Err(ApiError::TooLarge);
        }
        match timeout(self.time, self.read(body, most)).await {
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
                place = Some(self.places.acquire().await.map_err(|_| ApiError::Unavailable)?);
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

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;

    const MOST: usize = 64 * 1024;

    /// A body that comes in pieces of this many bytes, then does not go on.
    fn slow(pieces: usize, length: usize) -> Body {
        let pieces = stream::iter(vec![vec![b'x'; length]; pieces]).map(Ok::<_, std::io::Error>);
        Body::from_stream(pieces.chain(stream::pending()))
    }

    fn room(places: usize, time: Duration) -> Room {
        Room { places: Semaphore::new(places), time }
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_cap() {
        let room = Room::default();
        assert_eq!(room.whole(Body::from("ab"), 2).await.map(|body| body.len()), Ok(2));
        assert_eq!(room.whole(Body::from("abc"), 2).await, Err(ApiError::TooLarge));
        assert_eq!(room.whole(slow(5, MOST / 4), MOST).await, Err(ApiError::TooLarge), "of unknown length");
        let broken = stream::iter([Ok(vec![b'x']), Err(std::io::Error::other("reset"))]);
        let refused = room.whole(Body::from_stream(broken), 9).await.unwrap_err();
        assert_eq!(refused.code(), "body_broken");
    }

    #[tokio::test]
    async fn slow_bodies_end_and_long_ones_wait_for_a_place() {
        let room = room(1, Duration::from_millis(300));
        assert_eq!(room.whole(slow(1, 1), MOST).await, Err(ApiError::Slow));
        let holder = room.whole(slow(2, FREE), MOST);
        let (holder, (short, long)) = tokio::join!(holder, async {
            let short = room.whole(Body::from("short"), MOST).await;
            let soon = tokio::time::timeout(
                Duration::from_millis(100),
                room.whole(Body::from(vec![b'x'; FREE + 1]), MOST),
            );
            (short, soon.await.is_err())
        });
        assert_eq!(holder, Err(ApiError::Slow));
        assert!(short.is_ok(), "short bodies need no place");
        assert!(long, "a long one waits while the only place is taken");
        assert!(room.whole(Body::from(vec![b'x'; FREE + 1]), MOST).await.is_ok(), "the place is free again");
    }
}
