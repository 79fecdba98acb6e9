//! `review`: comments of people on what a run changed. Open ones travel with the next retry of a step.

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use tg_core::review::Side;
use tg_core::wire::{CommentChoice, NewReviewComment, ReviewCommentChange, ReviewCommentOut};

use super::{
    CliError, Global,
    arguments::{self, Id, Limit},
    words::short_sha,
};
use crate::{
    client::{Answer, Client, Query, operation},
    output::{
        Column::{Cut, Spare, Whole},
        Output,
    },
};

/// Comments on what a run changed.
#[derive(Debug, Subcommand)]
pub enum ReviewCommand {
    /// List the comments of a run, newest first.
    List {
        /// Id of the run.
        #[arg(long, value_name = "ID")]
        protocol: i64,
        #[command(flatten)]
        limit: Limit,
    },
    /// Comment on a line; it is sent to the agent with the next retry.
    Add(Add),
    /// Say something else; only while the comment is open.
    Edit {
        #[command(flatten)]
        id: Id,
        /// What is said; `-` reads it from standard input.
        body: String,
    },
    /// Call a comment settled.
    Resolve(Id),
    /// Open a comment again.
    Reopen(Id),
    /// Remove a comment.
    Delete(Id),
}

/// A comment to make.
#[derive(Debug, Args)]
pub struct Add {
    /// Id of the run.
    #[arg(long, value_name = "ID")]
    protocol: i64,
    /// File below the worktree.
    #[arg(long, value_name = "PATH")]
    path: String,
    /// Line, from 1.
    #[arg(long, value_name = "NUMBER")]
    line: i64,
    /// Side of the diff on which the line is counted.
    #[arg(long, value_name = "WORD", default_value = "new", value_parser = side())]
    side: Side,
    /// Commit that was looked at; without it the newest of the run.
    #[arg(long, value_name = "SHA")]
    sha: Option<String>,
    /// What is said; `-` reads it from standard input.
    body: String,
}

fn side() -> impl TypedValueParser<Value = Side> {
    let words = PossibleValuesParser::new(Side::ALL.iter().map(|word| word.as_str()));
    words.map(|word| Side::parse(&word).expect("one of the words that were offered"))
}

/// Runs the command.
pub async fn run(global: &Global, command: ReviewCommand, output: &Output) -> Result<(), CliError> {
    let client = Client::new(global, output)?;
    match command {
        ReviewCommand::List { protocol, limit } => {
            let ids = [&*protocol.to_string()];
            let found = client.list(&operation::REVIEW_COMMENTS, &ids, &Query::new(), limit.limit).await?;
            output.show(&found.json, |output| print_table(&found.value, output));
            Ok(())
        }
        ReviewCommand::Add(args) => add(&client, args, output).await,
        ReviewCommand::Edit { id, body } => {
            let change = ReviewCommentChange { body: Some(text(body)?), ..ReviewCommentChange::default() };
            edit(&client, id, change, output).await
        }
        ReviewCommand::Resolve(id) => edit(&client, id, state(CommentChoice::Resolved), output).await,
        ReviewCommand::Reopen(id) => edit(&client, id, state(CommentChoice::Open), output).await,
        ReviewCommand::Delete(id) => {
            let gone = client.ask(&operation::DELETE_REVIEW_COMMENT, &[&id.text()], &Query::new()).await?;
            output.show(&gone.json, |output| output.line(&format!("comment {} is removed", id.id)));
            Ok(())
        }
    }
}

fn text(body: String) -> Result<String, CliError> {
    if body == "-" { arguments::input_text(None) } else { Ok(body) }
}

fn state(state: CommentChoice) -> ReviewCommentChange {
    ReviewCommentChange { state: Some(state), ..ReviewCommentChange::default() }
}

async fn add(client: &Client, args: Add, output: &Output) -> Result<(), CliError> {
    let sha = match args.sha {
        Some(sha) => sha,
        None => super::protocols::load(client, args.protocol).await?.value.head_sha.ok_or_else(|| {
            CliError::failed("the run has no commit yet").hint("comment when it has changed something")
        })?,
    };
    let comment =
        NewReviewComment { path: args.path, side: args.side, line: args.line, sha, body: text(args.body)? };
    let ids = [&*args.protocol.to_string()];
    print(&client.send(&operation::CREATE_REVIEW_COMMENT, &ids, &comment).await?, output);
    Ok(())
}

async fn edit(client: &Client, id: Id, change: ReviewCommentChange, output: &Output) -> Result<(), CliError> {
    print(&client.send(&operation::UPDATE_REVIEW_COMMENT, &[&id.text()], &change).await?, output);
    Ok(())
}

fn print(comment: &Answer<ReviewCommentOut>, output: &Output) {
    output.show(&comment.json, |output| {
        let comment = &comment.value;
        output.fields(&[
            ("comment", comment.id.to_string()),
            ("run", comment.protocol_run_id.to_string()),
            ("state", comment.state.to_string()),
            ("place", format!("{}:{} ({})", comment.path, comment.line, comment.side)),
            ("commit", comment.sha.clone()),
            ("author", comment.author.clone().unwrap_or_default()),
            ("says", comment.body.clone()),
        ]);
    });
}

fn print_table(comments: &[ReviewCommentOut], output: &Output) {
    let rows: Vec<_> = comments
        .iter()
        .map(|comment| {
            vec![
                comment.id.to_string(),
                comment.state.to_string(),
                format!("{}:{}", comment.path, comment.line),
                comment.body.clone(),
                comment.author.clone().unwrap_or_default(),
                short_sha(Some(&comment.sha)),
            ]
        })
        .collect();
    let columns = [Whole("id"), Whole("state"), Cut("place"), Cut("says"), Spare("author"), Spare("commit")];
    output.table(&columns, &rows);
}
