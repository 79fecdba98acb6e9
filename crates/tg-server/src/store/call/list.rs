//! Lists of the run registry, newest first. Which index is read follows from the filters; none of them
//! makes a list read more than it shows.

use tg_core::scope::Scope;

use super::{Call, Filter, StoreError, read, sql};
use crate::db::{
    Tx,
    dialect::{Arg, args},
};

/// After every place there is: places are UUIDs, which are written in hex.
const TOP: &str = "g";

/// Newest first.
pub async fn list(tx: &mut Tx, scope: &Scope, filter: &Filter, limit: i64) -> Result<Vec<Call>, StoreError> {
    page(tx, scope, filter, None, limit).await
}

/// Newest first, of those before a place (`Call::seq`).
pub async fn page(
    tx: &mut Tx,
    scope: &Scope,
    filter: &Filter,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<Call>, StoreError> {
    let scope = scope.project();
    if scope.is_some() && filter.project.is_some() && scope != filter.project {
        return Ok(Vec::new());
    }
    let project = scope.or(filter.project).map(|project| project.0);
    let (kind, job_type) = (&filter.run_kind, &filter.job_type);
    let status = filter.status.map(tg_core::protocol::CallStatus::as_str);
    let before = before.unwrap_or(TOP);
    let run = filter.run.map(|run| run.0);
    let rows = if let Some(step) = filter.step {
        let values = args![kind, job_type, status, project, before, limit, step.0, run];
        tx.all(sql::LIST_OF_STEP, values).await?
    } else if let Some(run) = run {
        tx.all(sql::LIST_OF_RUN, args![kind, job_type, status, project, before, limit, run]).await?
    } else {
        let words = [kind.as_deref(), job_type.as_deref(), status];
        let which = (0..words.len()).filter(|&at| words[at].is_some()).map(|at| 1 << at).sum::<usize>();
        let texts = if project.is_some() { sql::OF_PROJECT } else { sql::OF_ALL };
        let mut values: Vec<Arg> = project.map(Arg::from).into_iter().collect();
        values.extend(words.into_iter().flatten().map(Arg::from));
        values.extend(args![before, limit]);
        tx.all(texts[which], values).await?
    };
    rows.into_iter().map(read).collect()
}
