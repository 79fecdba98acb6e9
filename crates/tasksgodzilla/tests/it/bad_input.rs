//! Bad input, end to end on the real binary: each is refused or blocks the run with a reason and a
//! remedy; it never passes, nothing is lost, the person's checkout stays as it is and no process is left.
//!
//! | bad input | shown by |
//! |---|---|
//! | no such path, not a repository | `repository`, `run::what_is_no_repository_is_refused_and_nothing_is_created` |
//! | no base branch | `repository`, `run::an_absent_base_branch_is_refused` |
//! | dirty worktree | `repository` (byte by byte), `run::a_dirty_checkout_is_allowed_and_never_touched` |
//! | no remote | `run::without_a_remote_it_completes_and_says_that_nothing_is_pushed` |
//! | remote gone | `repository` (in the middle), `run::a_remote_that_is_gone_is_refused` (before) |
//! | repository that tries to run code | `repository` (whole runs); every vector alone in the git tests of tg-server |
//! | engine missing | `engine`, `run::an_engine_that_is_not_there_is_a_missing_dependency` |
//! | engine not logged in, exits 0 with nothing, invalid UTF-8, hangs, ignores SIGTERM, forks daemons | `engine` |
//! | engine prints 1 GB without newline | `flood` |
//! | plan: no JSON, breaks the schema, `../x`, `/etc/x`, 10,000 files, duplicate numbers | `plan` |
//! | verdict of "maybe" | `plan` |
//! | empty task, task of 1 MB | `run::an_empty_task_is_usage`, `run::a_task_past_the_cap_is_usage_and_one_of_a_megabyte_is_not` |
//! | disk full while writing | `disk` |
//! | SQLite locked by another process | `database` (in the middle), `run::a_database_locked_by_another_process_is_said_plainly` (before) |
//! | second `serve` on the same state directory | `serve::a_second_one_on_the_same_state_directory_is_refused` |

mod database;
mod disk;
mod engine;
mod flood;
mod plan;
mod repository;
mod world;
