//! Named points between two effects where a crash test ends the process.
//! Without the `failpoints` feature every point is nothing.

/// Names of all points, in the order a job passes them.
pub const POINTS: &[&str] = &[
    "job.claimed",
    "job.renewed",
    "plan.answered",
    "plan.written",
    "plan.committed",
    "execute.started",
    "execute.answered",
    "execute.written",
    "execute.committed",
    "execute.pushed",
    "quality.answered",
    "quality.reported",
    "advance.before_commit",
    "advance.after_commit",
];

/// Ends the process at once, as `kill -9` would, if `wanted` names this point.
#[cfg_attr(not(feature = "failpoints"), expect(unused_variables, reason = "points are off in this build"))]
pub fn pass(wanted: Option<&str>, point: &'static str) {
    #[cfg(feature = "failpoints")]
    {
        debug_assert!(POINTS.contains(&point), "unknown fail point {point}");
        if wanted == Some(point) {
            std::process::abort();
        }
    }
}
