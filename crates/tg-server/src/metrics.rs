//! What this process counts of itself: requests by route template, and open streams. Counters are plain
//! atomics, so memory is bounded whether or not anybody scrapes. Totals of the fleet are tallies in the
//! database. Labels never hold a raw path, a name or a branch.

pub mod family;
pub mod text;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use self::{
    family::{REQUEST_DURATION, REQUESTS, SSE_CLIENTS},
    text::Text,
};

/// Methods that get a label of their own; anything else a client may invent is `other`.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
/// Label of what has none of its own.
const OTHER: &str = "other";
/// Most series of requests; further ones count under the template `other`. Templates come from the
/// router, so this is never reached unless somebody passes a raw path.
const MOST_SERIES: usize = 4096;

/// What tells series of requests apart: template, method, status.
type Labels = (Box<str>, &'static str, u16);

/// Requests of one template, method and status.
#[derive(Debug, Default)]
struct Series {
    /// One count per bound, and one for what is slower than all.
    buckets: [AtomicU64; REQUEST_DURATION.bounds.len() + 1],
    micros: AtomicU64,
}

static REQUESTS_SEEN: RwLock<BTreeMap<Labels, Arc<Series>>> = RwLock::new(BTreeMap::new());
static STREAMS: AtomicI64 = AtomicI64::new(0);

/// What a thread has counted before, by template.
type Known = HashMap<Box<str>, Vec<(&'static str, u16, Arc<Series>)>>;

thread_local! {
    /// Saves the way through the lock: a template has few methods and statuses.
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Counts one answered request. `template` is the route as the router knows it (`/projects/{id}`),
/// never the path that was asked for.
pub fn request(template: &str, method: &str, status: u16, seconds: f64) {
    let method = METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER);
    KNOWN.with_borrow_mut(|known| {
        let found = known
            .get(template)
            .and_then(|series| series.iter().find(|(m, s, _)| *m == method && *s == status));
        if let Some((_, _, series)) = found {
            series.add(seconds);
            return;
        }
        let series = series(template, method, status);
        series.add(seconds);
        if known.len() < MOST_SERIES {
            known.entry(template.into()).or_default().push((method, status, series));
        }
    });
}

fn series(template: &str, method: &'static str, status: u16) -> Arc<Series> {
    let mut seen = REQUESTS_SEEN.write().unwrap_or_else(PoisonError::into_inner);
    let labels: Labels = (template.into(), method, status);
    let labels = if seen.len() < MOST_SERIES || seen.contains_key(&labels) {
        labels
    } else {
        (OTHER.into(), method, status)
    };
    seen.entry(labels).or_default().clone()
}

impl Series {
    fn add(&self, seconds: f64) {
        let slot = REQUEST_DURATION.bounds.iter().position(|(bound, _)| seconds <= *bound);
        self.buckets[slot.unwrap_or(REQUEST_DURATION.bounds.len())].fetch_add(1, Relaxed);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "float to integer saturates; a request does not take less than nothing"
        )]
        self.micros.fetch_add((seconds * 1e6) as u64, Relaxed);
    }
}

/// An open stream; counts as long as it lives.
#[derive(Debug)]
pub struct Stream(());

impl Stream {
    /// Counts a stream that opens.
    #[expect(clippy::new_without_default, reason = "a stream is opened, not made up")]
    pub fn new() -> Self {
        STREAMS.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        STREAMS.fetch_sub(1, Relaxed);
    }
}

/// Writes the series of this process.
pub fn write(text: &mut Text) {
    // Copied out, so that no request waits for the text.
    let seen: Vec<(Labels, Arc<Series>)> = REQUESTS_SEEN
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .map(|(labels, series)| (labels.clone(), series.clone()))
        .collect();
    let counted: Vec<_> = seen
        .iter()
        .map(|((template, method, status), series)| {
            let labels = [
                ("path", template.to_string()),
                ("method", (*method).to_owned()),
                ("status", status.to_string()),
            ];
            let buckets: Vec<u64> = series.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
            (labels, buckets, series.micros.load(Relaxed))
        })
        .collect();
    text.family(&REQUESTS);
    for (labels, buckets, _) in &counted {
        text.sample(REQUESTS.name, labels, buckets.iter().sum::<u64>());
    }
    text.family(&REQUEST_DURATION);
    for (labels, buckets, micros) in &counted {
        #[expect(clippy::cast_precision_loss, reason = "a sum of seconds needs no last digit")]
        text.histogram(&REQUEST_DURATION, labels, buckets, *micros as f64 / 1e6);
    }
    text.family(&SSE_CLIENTS);
    text.sample::<&str>(SSE_CLIENTS.name, &[], STREAMS.load(Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> String {
        let mut text = Text::default();
        write(&mut text);
        text.into_string()
    }

    #[test]
    fn requests_are_counted_by_template_from_every_thread() {
        let count = || {
            for _ in 0..100 {
                request("/counted/{id}", "GET", 200, 0.02);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(count);
            scope.spawn(count);
        });
        request("/counted/{id}", "BREW\"\n", 405, 60.0);
        let text = written();
        let labels = "path=\"/counted/{id}\",method=\"GET\",status=\"200\"";
        assert!(text.contains(&format!("requests_total{{{labels}}} 200\n")), "{text}");
        assert!(text.contains(&format!("requests_duration_seconds_bucket{{{labels},le=\"0.01\"}} 0\n")));
        assert!(text.contains(&format!("requests_duration_seconds_bucket{{{labels},le=\"0.05\"}} 200\n")));
        assert!(text.contains(&format!("requests_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 200\n")));
        let odd = "path=\"/counted/{id}\",method=\"other\",status=\"405\"";
        assert!(text.contains(&format!("requests_duration_seconds_bucket{{{odd},le=\"10\"}} 0\n")));
        assert!(text.contains(&format!("requests_duration_seconds_sum{{{odd}}} 60\n")));
    }

    #[test]
    fn a_stream_counts_while_it_lives() {
        let before = STREAMS.load(Relaxed);
        let stream = Stream::new();
        assert_eq!(STREAMS.load(Relaxed), before + 1);
        drop(stream);
        assert_eq!(STREAMS.load(Relaxed), before);
    }
}
