//! Who comes too often: requests by token, failed logins by address, and the minute-wise note of when a
//! token was last used. Counts only; who is let in is decided elsewhere.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::super::serve::Peer;
use crate::{
    app::App,
    config::Rate,
    store::{self, StoreError, token::Token},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::keyed::DashMapStateStore,
};

/// Requests by token.
pub struct Rates(Option<RateLimiter<i64, DashMapStateStore<i64>, DefaultClock>>);

impl Rates {
    /// So often; `None` = no limit.
    pub fn new(rate: Option<Rate>) -> Self {
        // Keys are ids of tokens that were let in, so there are never more of them than tokens.
        Self(rate.map(|rate| RateLimiter::keyed(Quota::per_second(rate.per_second).allow_burst(rate.burst))))
    }

    /// Counts a request, or says how long to wait.
    pub fn count(&self, key: i64) -> Result<(), Duration> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter
            .check_key(&key)
            .map_err(|not_until| whole_seconds(not_until.wait_time_from(limiter.clock().now())))
    }
}

/// Failed logins by address: a bucket that empties by one per failure and fills up in a minute.
pub struct Failures {
    per_minute: NonZeroU32,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// Addresses that are remembered. When there are more, the fullest are forgotten: they failed least.
const ADDRESSES: usize = 10_000;
const MINUTE: Duration = Duration::from_mins(1);

impl Failures {
    /// So many per minute and address.
    pub fn new(per_minute: NonZeroU32) -> Self {
        Self { per_minute, buckets: Mutex::default() }
    }

    /// May this address try again now?
    pub fn check(&self, peer: Option<Peer>, now: Instant) -> Result<(), Duration> {
        let bucket = self.buckets().get(&network(peer)).copied();
        bucket.map_or(Ok(()), |bucket| self.judge(self.left(bucket, now)))
    }

    /// Counts a failure; an error when the address has none left.
    pub fn count(&self, peer: Option<Peer>, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets();
        if buckets.len() >= ADDRESSES {
            let most = f64::from(self.per_minute.get());
            buckets.retain(|_, bucket| self.left(*bucket, now) < most);
            if buckets.len() >= ADDRESSES {
                buckets.retain(|_, bucket| self.left(*bucket, now) < 1.0);
            }
            if buckets.len() >= ADDRESSES {
                buckets.clear();
            }
        }
        let most = f64::from(self.per_minute.get());
        let bucket = buckets.entry(network(peer)).or_insert(Bucket { left: most, at: now });
        let left = self.left(*bucket, now);
        let outcome = self.judge(left);
        *bucket = Bucket { left: if outcome.is_ok() { left - 1.0 } else { left }, at: now };
        outcome
    }

    fn left(&self, bucket: Bucket, now: Instant) -> f64 {
        let most = f64::from(self.per_minute.get());
        let filled = now.duration_since(bucket.at).as_secs_f64() / MINUTE.as_secs_f64() * most;
        (bucket.left + filled).min(most)
    }

    fn judge(&self, left: f64) -> Result<(), Duration> {
        if left >= 1.0 {
            return Ok(());
        }
        let one = MINUTE.as_secs_f64() / f64::from(self.per_minute.get());
        Err(whole_seconds(Duration::from_secs_f64((1.0 - left) * one)))
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<IpAddr, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has one IPv6 address has its whole /64.
fn network(peer: Option<Peer>) -> IpAddr {
    match peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0.to_canonical()) {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// Rounded up, so that whoever waits so long has waited long enough.
fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// When tokens were used, to the minute.
#[derive(Default)]
pub struct Used(Mutex<HashMap<i64, i64>>);

impl Used {
    /// Notes a use, at most once a minute; the request does not wait for it.
    pub fn note(&self, app: &App, token: &Token) {
        let now = app.clock.now();
        let is_recent = |at: i64| now.saturating_sub(at) < 60_000;
        if token.last_used_at.is_some_and(is_recent) {
            return;
        }
        let id = token.id;
        {
            let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if noted.get(&id).copied().is_some_and(is_recent) {
                return;
            }
            if noted.len() >= ADDRESSES {
                noted.retain(|_, at| is_recent(*at));
            }
            noted.insert(id, now);
        }
        let app = app.clone();
        tokio::spawn(async move {
            if let Err(error) = write(&app, id, now).await {
                tracing::warn!(%error, token = id, "the use of a token is not recorded");
            }
        });
    }
}

async fn write(app: &App, id: i64, now: i64) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    store::token::set_used(&mut tx, id, now).await?;
    Ok(tx.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer(text.parse().unwrap())
    }

    #[test]
    fn failures_run_out_by_address_and_come_back_with_time() {
        let failures = Failures::new(NonZeroU32::new(3).unwrap());
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(failures.check(Some(peer("192.0.2.1")), now), Ok(()));
            assert_eq!(failures.count(Some(peer("192.0.2.1")), now), Ok(()));
        }
        let wait = failures.count(Some(peer("192.0.2.1")), now).unwrap_err();
        assert_eq!(
            (wait, failures.check(Some(peer("192.0.2.1")), now)),
            (Duration::from_secs(20), Err(wait))
        );
        assert!(
            failures.check(Some(peer("::ffff:192.0.2.1")), now).is_err(),
            "the same address in other clothes"
        );
        assert_eq!(failures.check(Some(peer("192.0.2.2")), now), Ok(()), "others are not touched");
        assert_eq!(failures.check(None, now), Ok(()));
        assert_eq!(failures.check(Some(peer("192.0.2.1")), now + wait), Ok(()));
    }

    #[test]
    fn a_network_of_one_owner_is_one_address_and_memory_is_bounded() {
        let failures = Failures::new(NonZeroU32::MIN);
        let now = Instant::now();
        assert_eq!(failures.count(Some(peer("2001:db8::1")), now), Ok(()));
        assert!(failures.check(Some(peer("2001:db8::ffff")), now).is_err());
        assert_eq!(failures.check(Some(peer("2001:db8:0:1::1")), now), Ok(()));
        for number in 0..25_000_u32 {
            let address = IpAddr::V4((0x0a00_0000 + number).into());
            failures.count(Some(Peer(address)), now).ok();
        }
        assert!(failures.buckets().len() <= ADDRESSES);
    }

    #[test]
    fn requests_are_counted_by_token() {
        let one = NonZeroU32::MIN;
        let rates = Rates::new(Some(Rate { per_second: one, burst: NonZeroU32::new(2).unwrap() }));
        assert_eq!((rates.count(1), rates.count(1)), (Ok(()), Ok(())));
        assert_eq!(rates.count(1), Err(Duration::from_secs(1)));
        assert_eq!(rates.count(2), Ok(()), "another token");
        assert_eq!(Rates::new(None).count(1), Ok(()));
    }
}
