//! `queues`: what waits, what is at work, and what became of it.

use clap::Subcommand;
use tg_core::wire::Job;

use super::{
    CliError, Global,
    arguments::{self, Limit},
    words::{inline, number},
};
use crate::{
    client::{Answer, Client, Query, operation},
    output::{
        Column::{Cut, Spare, Whole},
        Output,
    },
};

/// Queued work.
#[derive(Debug, Subcommand)]
pub enum QueuesCommand {
    /// Count the jobs by status.
    Stats,
    /// List jobs, newest first.
    Jobs {
        /// Only in this status.
        #[arg(long, value_name = "WORD", value_parser = arguments::job_statuses())]
        status: Option<String>,
        /// Only of this type, such as `execute_step_job`.
        #[arg(long = "type", value_name = "WORD")]
        job_type: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one job.
    Job {
        /// Id of the job.
        id: String,
    },
    /// Cancel a job; an agent at work is stopped.
    Cancel {
        /// Id of the job.
        id: String,
    },
    /// Queue a failed job's work again.
    Retry {
        /// Id of the job.
        id: String,
    },
}

/// Runs the command.
pub async fn run(global: &Global, command: QueuesCommand, output: &Output) -> Result<(), CliError> {
    let client = Client::new(global, output)?;
    match command {
        QueuesCommand::Stats => stats(&client, output).await,
        QueuesCommand::Jobs { status, job_type, limit } => {
            let mut query: Query<'_> = status.into_iter().map(|status| ("status", status)).collect();
            query.extend(job_type.map(|kind| ("job_type", kind)));
            let found = client.list(&operation::JOBS, &[], &query, limit.limit).await?;
            output.show(&found.json, |output| print_table(&found.value, output));
            Ok(())
        }
        QueuesCommand::Job { id } => {
            print(&client.ask(&operation::JOB, &[&id], &Query::new()).await?, output);
            Ok(())
        }
        QueuesCommand::Cancel { id } => {
            print(&client.ask(&operation::CANCEL_JOB, &[&id], &Query::new()).await?, output);
            Ok(())
        }
        QueuesCommand::Retry { id } => {
            print(&client.ask(&operation::RETRY_JOB, &[&id], &Query::new()).await?, output);
            Ok(())
        }
    }
}

async fn stats(client: &Client, output: &Output) -> Result<(), CliError> {
    let found = client.ask(&operation::QUEUES, &[], &Query::new()).await?;
    output.show(&found.json, |output| {
        let rows: Vec<_> = found
            .value
            .queues
            .iter()
            .map(|(name, counts)| {
                vec![
                    name.clone(),
                    counts.queued.to_string(),
                    counts.scheduled.to_string(),
                    counts.started.to_string(),
                    counts.finished.to_string(),
                    counts.failed.to_string(),
                    counts.cancelled.to_string(),
                ]
            })
            .collect();
        let columns = [
            Cut("queue"),
            Whole("queued"),
            Whole("scheduled"),
            Whole("started"),
            Whole("finished"),
            Whole("failed"),
            Whole("cancelled"),
        ];
        output.table(&columns, &rows);
    });
    Ok(())
}

fn print_table(jobs: &[Job], output: &Output) {
    let rows: Vec<_> = jobs
        .iter()
        .map(|job| {
            vec![
                job.job_id.clone(),
                job.job_type.clone(),
                job.status.clone(),
                format!("{}/{}", job.attempts, job.max_attempts),
                number(job.project_id),
                job.error.clone().unwrap_or_default(),
                job.created_at.clone(),
            ]
        })
        .collect();
    let columns = [
        Whole("job"),
        Cut("type"),
        Whole("status"),
        Spare("attempts"),
        Spare("project"),
        Spare("error"),
        Spare("created"),
    ];
    output.table(&columns, &rows);
}

fn print(job: &Answer<Job>, output: &Output) {
    output.show(&job.json, |output| {
        let job = &job.value;
        output.fields(&[
            ("job", job.job_id.clone()),
            ("type", job.job_type.clone()),
            ("status", job.status.clone()),
            ("error", job.error.clone().unwrap_or_default()),
            ("attempts", format!("{} of {}", job.attempts, job.max_attempts)),
            ("subject", inline(&job.payload)),
            ("project", number(job.project_id)),
            ("queue", job.queue.clone()),
            ("due", job.next_run_at.clone().unwrap_or_default()),
            ("created", job.created_at.clone()),
            ("started", job.started_at.clone().unwrap_or_default()),
            ("ended", job.ended_at.clone().unwrap_or_default()),
        ]);
    });
}
