//! Claims jobs, renews before it starts them, runs them, and writes their answers.
//! Never inside a transaction while a job runs.

pub mod heartbeat;
pub mod scheduler;

use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Works until `stop` is cancelled, then drains: running jobs get `drain` to end, the rest is
/// stopped and handed back.
pub async fn run(app: App, stop: CancellationToken) -> Result<(), crate::store::StoreError> {
    todo!()
}
