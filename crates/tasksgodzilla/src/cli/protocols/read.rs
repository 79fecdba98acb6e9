//! What there is to read of runs: lists, timelines, files, diffs.

use clap::Args;
use tg_core::wire::{ChangedFile, ProtocolRunOut};

use super::super::{
    CliError,
    arguments::{FewAtFirst, Id, Limit},
    events, runs,
    words::run_status,
};
use crate::{
    client::{
        Answer, Client, Query, operation,
        operation::{Operation, Text},
    },
    output::{
        Column::{Cut, Spare, Whole},
        Output,
    },
};

/// Which part of a diff.
#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    id: Id,
    /// Only of this file or folder.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Lines around each change.
    #[arg(long, value_name = "LINES")]
    context: Option<u32>,
    /// List the files instead.
    #[arg(long, conflicts_with = "context")]
    stat: bool,
}

/// Runs of one project, or of all of them.
pub async fn list(
    client: &Client,
    project: Option<i64>,
    status: Option<&str>,
    limit: Limit,
    output: &Output,
) -> Result<(), CliError> {
    let query: Query<'_> = status.iter().map(|status| ("status", (*status).to_owned())).collect();
    let projects = if let Some(project) = project {
        vec![project]
    } else {
        let all = client.list(&operation::PROJECTS, &[], &Query::new(), limit.limit).await?;
        all.value.iter().map(|project| project.id).collect()
    };
    let mut found: Vec<(serde_json::Value, ProtocolRunOut)> = Vec::new();
    for project in projects {
        let ids = [&*project.to_string()];
        let runs = client.list(&operation::PROTOCOLS, &ids, &query, limit.limit).await?;
        let json = runs.json.as_array().cloned().unwrap_or_default();
        found.extend(json.into_iter().zip(runs.value));
    }
    found.sort_by_key(|(_, run)| std::cmp::Reverse(run.id));
    found.truncate(limit.limit);
    let (json, runs): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    output.show(&json, |output| print_table(&runs, output));
    Ok(())
}

fn print_table(runs: &[ProtocolRunOut], output: &Output) {
    let rows: Vec<_> = runs
        .iter()
        .map(|run| {
            vec![
                run.id.to_string(),
                run.project_id.to_string(),
                run.protocol_name.clone(),
                run_status(run),
                run.engine.clone().unwrap_or_default(),
                run.updated_at.clone(),
            ]
        })
        .collect();
    let columns =
        [Whole("id"), Whole("project"), Cut("name"), Cut("status"), Spare("engine"), Spare("updated")];
    output.table(&columns, &rows);
}

/// The timeline of a run.
pub async fn events(client: &Client, id: Id, limit: FewAtFirst, output: &Output) -> Result<(), CliError> {
    let ids = [&*id.text()];
    let found = client.list(&operation::PROTOCOL_EVENTS, &ids, &Query::new(), limit.limit).await?;
    output.show(&found.json, |output| events::print_table(&found.value, output));
    Ok(())
}

/// The calls of a run.
pub async fn runs(
    client: &Client,
    id: Id,
    kind: Option<String>,
    status: Option<String>,
    limit: Limit,
    output: &Output,
) -> Result<(), CliError> {
    let mut query: Query<'_> = kind.into_iter().map(|kind| ("run_kind", kind)).collect();
    query.extend(status.map(|status| ("status", status)));
    let found = client.list(&operation::PROTOCOL_RUNS, &[&id.text()], &query, limit.limit).await?;
    output.show(&found.json, |output| runs::print_table(&found.value, output));
    Ok(())
}

/// The files that its calls produced.
pub async fn artifacts(
    client: &Client,
    id: Id,
    kind: Option<String>,
    step: Option<i64>,
    limit: Limit,
    output: &Output,
) -> Result<(), CliError> {
    let mut query: Query<'_> = kind.into_iter().map(|kind| ("kind", kind)).collect();
    query.extend(step.map(|step| ("step_run_id", step.to_string())));
    let found = client.list(&operation::PROTOCOL_ARTIFACTS, &[&id.text()], &query, limit.limit).await?;
    output.show(&found.json, |output| runs::print_artifacts(&found.value, output));
    Ok(())
}

/// Where its branch stands.
pub async fn git_status(client: &Client, id: Id, output: &Output) -> Result<(), CliError> {
    let found = client.ask(&operation::GIT_STATUS, &[&id.text()], &Query::new()).await?;
    output.show(&found.json, |output| {
        let status = &found.value;
        output.fields(&[
            ("branch", status.branch.clone()),
            ("head", status.head_sha.clone()),
            ("pushed", status.pushed_sha.clone().unwrap_or_else(|| "no".to_owned())),
            ("base", format!("{} ahead, {} behind", status.ahead, status.behind)),
            ("repository", status.repo_root.clone()),
            ("worktree", status.worktree_path.clone()),
            ("state", if status.dirty { "has uncommitted files" } else { "clean" }.to_owned()),
        ]);
        for file in &status.changed_files {
            output.line(&format!("  {file}"));
        }
        if status.changed_files_cut {
            output.note("there are more");
        }
    });
    Ok(())
}

/// The diff of a run or of a step.
pub async fn diff(
    client: &Client,
    text: &Operation<(), Text>,
    changes: &Operation<(), Vec<ChangedFile>>,
    args: Diff,
    output: &Output,
) -> Result<(), CliError> {
    let id = args.id.text();
    let mut query: Query<'_> = args.path.into_iter().map(|path| ("path", path)).collect();
    if args.stat {
        query.push(("stat", "true".to_owned()));
        let found = client.ask(changes, &[&id], &query).await?;
        print_changes(&found, output);
        return Ok(());
    }
    query.extend(args.context.map(|lines| ("context", lines.to_string())));
    runs::print_text(client, client.download(text, &[&id], &query).await?, output).await
}

fn print_changes(found: &Answer<Vec<ChangedFile>>, output: &Output) {
    output.show(&found.json, |output| {
        let rows: Vec<_> = found
            .value
            .iter()
            .map(|file| {
                let from = file.old_path.as_ref().map(|old| format!("{old} → ")).unwrap_or_default();
                vec![
                    file.status.to_string(),
                    if file.binary { "binary".to_owned() } else { format!("+{}", file.additions) },
                    if file.binary { String::new() } else { format!("-{}", file.deletions) },
                    format!("{from}{}", file.path),
                ]
            })
            .collect();
        output.table(&[Whole("change"), Whole("new"), Whole("gone"), Cut("file")], &rows);
    });
}
