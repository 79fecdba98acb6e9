//! One writing transaction that several callers share, one after another, so that they share its commit:
//! the commit is what a small change costs. A caller that waits for its turn keeps the transaction open;
//! when nobody waits it is committed, and then everybody in it is told. Decides nothing about what is
//! written.
//!
//! - A caller that drops its turn takes back its own changes only, to a savepoint.
//! - A turn ends on a task of its own, so a caller that goes away leaves nobody waiting.
//! - Who reads in its turn sees what the callers before it changed and what is not committed yet. Nothing
//!   may be told of that before `Db::settled` has come back, be it only a refusal.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard, oneshot},
    time::timeout,
};

use super::{ACQUIRE, DbError, Driver, Notes, Tx};

/// Most callers of one transaction.
const MOST: usize = 64;
/// A transaction that is older takes no more callers: the first of them waits for the last.
const OLDEST: Duration = Duration::from_millis(20);

/// Where a group gets its transactions from.
pub(super) enum Source {
    /// The one writer.
    Sqlite(sqlx::SqlitePool),
    /// Any connection.
    Postgres(sqlx::PgPool),
}

/// Callers that share their commits; cheap to clone.
#[derive(Clone)]
pub struct Group(Arc<Shared>);

struct Shared {
    /// Whoever holds it has the turn.
    seat: Arc<Mutex<Seat>>,
    /// How many want it.
    waiting: AtomicUsize,
    /// How many transactions were not committed although somebody in them wanted it.
    failures: AtomicU64,
}

/// The place at the connection.
struct Seat {
    source: Source,
    open: Option<Open>,
}

/// A transaction under way.
struct Open {
    driver: Driver,
    /// What the callers noted who are done.
    notes: Notes,
    /// Those callers.
    told: Vec<oneshot::Sender<Result<(), DbError>>>,
    savepoints: usize,
    began: Instant,
    /// Something went wrong that takes everybody's changes with it.
    is_broken: bool,
}

/// The right to use the transaction now.
pub(super) struct Turn {
    group: Group,
    /// Given back at the end.
    seat: Option<OwnedMutexGuard<Seat>>,
    mark: Mark,
}

/// What a turn goes back to when it is dropped.
#[derive(Clone, Copy)]
enum Mark {
    /// It has changed nothing yet.
    Nothing,
    /// It began the transaction, so it takes it back whole.
    Begin,
    /// The savepoint of this number.
    Savepoint(usize),
}

impl Group {
    pub(super) fn new(source: Source) -> Self {
        let seat = Arc::new(Mutex::new(Seat { source, open: None }));
        Self(Arc::new(Shared { seat, waiting: AtomicUsize::new(0), failures: AtomicU64::new(0) }))
    }

    /// How many shared transactions have failed so far.
    pub(super) fn failures(&self) -> u64 {
        self.0.failures.load(SeqCst)
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Result<Turn, DbError> {
        let mut waiting = Waiting::new(self);
        let seat = timeout(ACQUIRE, self.0.seat.clone().lock_owned());
        let seat = seat.await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        waiting.is_seated = true;
        drop(waiting);
        let mut turn = Turn { group: self.clone(), seat: Some(seat), mark: Mark::Nothing };
        turn.open().await?;
        Ok(turn)
    }

    /// Whether an open transaction is kept open for the next caller.
    fn goes_on(&self, open: &Open) -> bool {
        let has_room = open.told.len() < MOST && open.began.elapsed() < OLDEST;
        has_room && !open.is_broken && self.0.waiting.load(SeqCst) > 0
    }

    /// Ends a turn: keeps or takes back what it changed, and commits unless somebody waits.
    async fn leave(self, mut seat: OwnedMutexGuard<Seat>, end: End) {
        let Some(open) = &mut seat.open else { return };
        match end {
            End::Keep(notes, told) => {
                open.notes.add(notes);
                open.told.push(told);
            }
            End::TakeBack(Mark::Nothing) => {}
            // Nobody else is in it yet; dropping it rolls it back.
            End::TakeBack(Mark::Begin) => seat.open = None,
            End::TakeBack(Mark::Savepoint(number)) => {
                if let Err(error) = open.driver.raw(format!("ROLLBACK TO SAVEPOINT turn_{number}")).await {
                    tracing::error!(%error, "a caller's changes cannot be taken back alone; all of them are");
                    open.is_broken = true;
                }
            }
        }
        self.end(seat).await;
    }

    /// Commits what is open, unless it goes on.
    async fn end(self, mut seat: OwnedMutexGuard<Seat>) {
        if seat.open.as_ref().is_some_and(|open| self.goes_on(open)) {
            return;
        }
        let Some(open) = seat.open.take() else { return };
        let Open { driver, notes, told, is_broken, .. } = open;
        let outcome = if told.is_empty() || is_broken {
            drop(driver);
            Err(DbError::Undone)
        } else {
            Tx::own(driver, notes).close().await
        };
        if outcome.is_err() && !told.is_empty() {
            self.0.failures.fetch_add(1, SeqCst);
        }
        drop(seat);
        let outcome = outcome.map_err(Arc::new);
        for told in told {
            // Who is gone needs no answer.
            drop(told.send(outcome.clone().map_err(DbError::Together)));
        }
    }
}

enum End {
    Keep(Notes, oneshot::Sender<Result<(), DbError>>),
    TakeBack(Mark),
}

impl Turn {
    /// Begins a transaction, or goes on with the open one behind a savepoint.
    async fn open(&mut self) -> Result<(), DbError> {
        let seat = self.seat.as_mut().expect("a turn has the seat until it ends");
        if let Some(open) = &mut seat.open {
            let number = open.savepoints;
            open.savepoints += 1;
            if let Err(error) = open.driver.raw(format!("SAVEPOINT turn_{number}")).await {
                open.is_broken = true;
                return Err(error.into());
            }
            self.mark = Mark::Savepoint(number);
        } else {
            seat.open = Some(Open {
                driver: seat.source.begin().await?,
                notes: Notes::default(),
                told: Vec::new(),
                savepoints: 0,
                began: Instant::now(),
                is_broken: false,
            });
            self.mark = Mark::Begin;
        }
        Ok(())
    }

    /// The connection.
    pub(super) fn driver(&mut self) -> &mut Driver {
        let seat = self.seat.as_mut().expect("a turn has the seat until it ends");
        &mut seat.open.as_mut().expect("a turn begins with an open transaction").driver
    }

    /// A statement failed. When that took back more than this turn, nobody's changes can be trusted any
    /// more: SQLite for one takes back everything when the disk is full.
    pub(super) fn failed(&mut self, error: &sqlx::Error) {
        let seat = self.seat.as_mut().expect("a turn has the seat until it ends");
        if let Some(open) = &mut seat.open {
            open.is_broken |= !open.driver.undid_turn(error);
        }
    }

    /// Ends the turn; comes back when the transaction is committed.
    pub(super) async fn commit(mut self, notes: Notes) -> Result<(), DbError> {
        let (tell, told) = oneshot::channel();
        let seat = self.seat.take().expect("a turn has the seat until it ends");
        tokio::spawn(self.group.clone().leave(seat, End::Keep(notes, tell)));
        // Nobody tells when the runtime stops first; whether it was committed shows at the next start.
        told.await.unwrap_or(Err(DbError::Undone))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(seat) = self.seat.take() else { return };
        // Without a runtime nobody waits either, and dropping the transaction takes it back.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.group.clone().leave(seat, End::TakeBack(self.mark)));
        }
    }
}

/// One who wants a turn. If it goes away without one, the transaction that was kept open for it ends.
struct Waiting<'a> {
    group: &'a Group,
    is_seated: bool,
}

impl<'a> Waiting<'a> {
    fn new(group: &'a Group) -> Self {
        group.0.waiting.fetch_add(1, SeqCst);
        Self { group, is_seated: false }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.group.0.waiting.fetch_sub(1, SeqCst);
        if !self.is_seated
            && let Ok(runtime) = Handle::try_current()
        {
            let group = self.group.clone();
            runtime.spawn(async move {
                let seat = group.0.seat.clone().lock_owned().await;
                group.end(seat).await;
            });
        }
    }
}
