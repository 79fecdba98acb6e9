//! Every metric there is: name, help, kind, buckets (contract §12.1). Holds no value.

/// A metric family.
#[derive(Debug)]
pub struct Family {
    /// Name.
    pub name: &'static str,
    /// What it tells, in a line.
    pub help: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Upper bounds of a histogram, with the way they are written.
    pub bounds: &'static [(f64, &'static str)],
}

/// Kinds of families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

const fn family(name: &'static str, kind: Kind, help: &'static str) -> Family {
    Family { name, help, kind, bounds: &[] }
}

/// Bounds for what a person waits for.
const REQUEST_BOUNDS: &[(f64, &str)] = &[
    (0.01, "0.01"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.0, "2"),
    (5.0, "5"),
    (10.0, "10"),
];

/// Requests of this process.
pub const REQUESTS: Family =
    family("requests_total", Kind::Counter, "Requests this process answered, by route template.");
/// How long they took.
pub const REQUEST_DURATION: Family = Family {
    name: "requests_duration_seconds",
    help: "Time to the head of the answer, by route template.",
    kind: Kind::Histogram,
    bounds: REQUEST_BOUNDS,
};
/// Streams of this process.
pub const SSE_CLIENTS: Family =
    family("sse_clients", Kind::Gauge, "Event streams that are open at this process.");
