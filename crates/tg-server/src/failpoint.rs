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
    "quality.committed",
    "advance.before_commit",
    "advance.after_commit",
];

/// Ends the process at once, as `kill -9` would, if `wanted` names this point: `<point>` at the first
/// pass, `<point>@<n>` at the n-th. `<point>@<n>:<file>` makes a file there instead, and goes on when
/// somebody removed it.
#[cfg_attr(not(feature = "failpoints"), expect(unused_variables, reason = "points are off in this build"))]
pub fn pass(wanted: Option<&str>, point: &'static str) {
    #[cfg(feature = "failpoints")]
    {
        use std::sync::atomic::{AtomicUsize, Ordering};

        static PASSES: AtomicUsize = AtomicUsize::new(0);

        debug_assert!(POINTS.contains(&point), "unknown fail point {point}");
        let Some(wanted) = wanted else { return };
        let (wanted, file) =
            wanted.split_once(':').map_or((wanted, None), |(wanted, file)| (wanted, Some(file)));
        let (name, pass) = wanted.split_once('@').unwrap_or((wanted, "1"));
        if name != point || pass.parse() != Ok(PASSES.fetch_add(1, Ordering::SeqCst) + 1) {
            return;
        }
        let Some(file) = file.map(std::path::Path::new) else { std::process::abort() };
        if std::fs::write(file, "").is_err() {
            std::process::abort();
        }
        while file.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
