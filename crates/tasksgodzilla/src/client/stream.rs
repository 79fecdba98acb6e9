//! A stream of events that goes on over broken connections: it remembers what it gave and asks for what
//! follows, so that nothing is missing and nothing comes twice.

use std::{collections::VecDeque, time::Duration};

use reqwest::{Response, header::HeaderValue};
use tokio::{sync::mpsc, time::sleep};

use super::{
    Client, Query, failure,
    operation::{Events, Operation},
    sse::{Frame, Reader},
};
use crate::cli::CliError;

/// First wait before a new connection; it doubles up to `LONGEST`.
const SHORTEST: Duration = Duration::from_millis(200);

/// Longest wait before a new connection.
const LONGEST: Duration = Duration::from_secs(5);

/// Items read ahead of whoever prints them.
const AHEAD: usize = 64;

/// How a stream is resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// By the id of the last frame, which is a number that grows (`Last-Event-ID`).
    Id(i64),
    /// By the `offset` of the query; frames say where the next one begins (`next_offset`).
    Offset(u64),
}

/// A stream under way.
#[derive(Debug)]
pub struct Stream {
    client: Client,
    operation: &'static Operation<(), Events>,
    ids: Vec<String>,
    query: Vec<(&'static str, String)>,
    resume: Resume,
    connection: Option<(Response, Reader)>,
    waiting: VecDeque<Frame>,
    wait: Duration,
    /// It was connected once; from then on a broken connection is no failure.
    began: bool,
    /// The connection is gone and somebody should be told.
    broken: bool,
}

/// What comes out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A frame.
    Frame(Frame),
    /// The connection broke; it is made again.
    Broken,
    /// It stands again.
    Mended,
}

impl Stream {
    /// A stream from here on; connects with the first `next`.
    pub fn new(
        client: &Client,
        operation: &'static Operation<(), Events>,
        ids: &[&str],
        query: Vec<(&'static str, String)>,
        resume: Resume,
    ) -> Self {
        Self {
            client: client.clone(),
            operation,
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            query,
            resume,
            connection: None,
            waiting: VecDeque::new(),
            wait: SHORTEST,
            began: false,
            broken: false,
        }
    }

    /// Reads on in the background, a few items ahead, until the receiver is dropped or the server says
    /// no. Waiting for an item can be given up and begun again.
    pub fn begin(mut self) -> mpsc::Receiver<Result<Item, CliError>> {
        let (send, receive) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            loop {
                let item = self.next().await;
                let is_over = item.is_err();
                if send.send(item).await.is_err() || is_over {
                    return;
                }
            }
        });
        receive
    }

    /// The next item.
    async fn next(&mut self) -> Result<Item, CliError> {
        loop {
            while let Some(frame) = self.waiting.pop_front() {
                if self.is_new(&frame) {
                    return Ok(Item::Frame(frame));
                }
            }
            let Some((response, reader)) = &mut self.connection else {
                if let Some(item) = self.connect().await? {
                    return Ok(item);
                }
                continue;
            };
            let mut frames = Vec::new();
            let goes_on = match response.chunk().await {
                Ok(Some(bytes)) => {
                    self.wait = SHORTEST;
                    reader.feed(&bytes, &mut frames).is_ok()
                }
                Ok(None) | Err(_) => false,
            };
            // The server lets slow readers go and says so: what follows is asked for anew.
            let resync = frames.iter().any(|frame| frame.event == "resync");
            self.waiting.extend(frames.into_iter().filter(|frame| frame.event != "resync"));
            if !goes_on || resync {
                self.connection = None;
            }
        }
    }

    /// Each frame is given once, whatever a server repeats after a resumption.
    fn is_new(&mut self, frame: &Frame) -> bool {
        match &mut self.resume {
            Resume::Id(last) => match frame.id.as_deref().and_then(|id| id.parse::<i64>().ok()) {
                Some(id) if id <= *last => return false,
                Some(id) => *last = id,
                None => {}
            },
            Resume::Offset(place) => {
                let data: serde_json::Value = serde_json::from_str(&frame.data).unwrap_or_default();
                if let Some(next) = data.get("next_offset").and_then(serde_json::Value::as_u64) {
                    *place = next;
                }
            }
        }
        true
    }

    /// Makes the connection; says when one broke and when it stands again.
    async fn connect(&mut self) -> Result<Option<Item>, CliError> {
        if self.began && !self.broken {
            self.broken = true;
            return Ok(Some(Item::Broken));
        }
        if self.began {
            sleep(self.wait).await;
            self.wait = (self.wait * 2).min(LONGEST);
        }
        match self.open().await {
            Ok(response) => {
                self.connection = Some((response, Reader::default()));
                let mended = std::mem::take(&mut self.broken);
                self.began = true;
                Ok(mended.then_some(Item::Mended))
            }
            Err(Gone::Refused(error)) => Err(error),
            Err(Gone::Unreached(error)) if !self.began => Err(error),
            Err(Gone::Unreached(_)) => Ok(None),
        }
    }

    async fn open(&self) -> Result<Response, Gone> {
        let mut query: Query<'_> = self.query.clone();
        let ids: Vec<&str> = self.ids.iter().map(String::as_str).collect();
        if let Resume::Offset(place) = &self.resume {
            query.push(("offset", place.to_string()));
        }
        let mut request = self.client.request(self.operation, &ids, &query).map_err(Gone::Refused)?;
        *request.timeout_mut() = None;
        let headers = request.headers_mut();
        headers.insert("accept", HeaderValue::from_static("text/event-stream"));
        if let Resume::Id(last) = &self.resume {
            headers.insert("last-event-id", HeaderValue::from(*last));
        }
        let sent = self.client.http.execute(request).await;
        let response =
            sent.map_err(|error| Gone::Unreached(failure::no_answer(&self.client.target, &error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.client.body(response, failure::MOST).await.unwrap_or_default();
        let error = failure::refused(&self.client.target, status.as_u16(), &body);
        // A server that is busy or starts again is waited for; one that says no is believed.
        if status.is_server_error() || status.as_u16() == 429 {
            Err(Gone::Unreached(error))
        } else {
            Err(Gone::Refused(error))
        }
    }
}

/// Why there is no connection.
enum Gone {
    /// The server said no.
    Refused(CliError),
    /// Nobody answered, or not now.
    Unreached(CliError),
}
