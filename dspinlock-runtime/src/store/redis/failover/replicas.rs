//! Steps that wait for replicas. `WAIT` blocks its connection, so each of these steps has a separate connection while it
//! waits. `node` calls it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::Semaphore;

use crate::error::StoreFailure;
use crate::protocol::{Reply, Request};
use crate::rt::background;
use crate::rt::clock::Instant;
use crate::store::api::Failure;
use crate::store::redis::connection::Connection;
use crate::store::redis::reconnect::{Locate, Reconnecting};
use crate::store::redis::timeouts::Timeouts;
use crate::store::redis::wire::command::Step;
use crate::store::redis::wire::reply::{self, Answer, CommandError};

/// How many steps may wait for replicas at once.
const MAX_CONNECTIONS: usize = 16;
/// The longest wait for replicas.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// The connections for `WAIT`, opened as needed.
pub(crate) struct ReplicaWaits {
    server: Arc<dyn Locate>,
    timeouts: Timeouts,
    idle: Mutex<Vec<Reconnecting>>,
    permits: Semaphore,
}

/// A step, and how many replicas have to acknowledge it.
pub(crate) struct Replicated {
    pub(crate) step: Step,
    pub(crate) replicas: u32,
    /// Whether `ASKING` precedes the step, because the slot is migrating to this node.
    pub(crate) is_asking: bool,
}

impl ReplicaWaits {
    pub(crate) fn new(server: Arc<dyn Locate>, timeouts: Timeouts) -> Self {
        Self {
            server,
            timeouts,
            idle: Mutex::default(),
            permits: Semaphore::new(MAX_CONNECTIONS),
        }
    }

    /// Executes a step that writes whenever it succeeds, and waits until the replicas have acknowledged this write and all
    /// earlier ones.
    pub(crate) async fn execute(
        &self,
        replicated: Replicated,
        since: Instant,
    ) -> Result<Reply, CommandError> {
        let rest = self.timeouts.rest(since);
        let _permit = tokio::select! {
            biased;
            permit = self.permits.acquire() => permit,
            () = background::time_limit(rest) => return Err(self.not_sent().into()),
        };
        let idle = self.idle().pop();
        let target = idle.unwrap_or_else(|| Reconnecting::new(self.server.clone(), self.timeouts, None));
        let connection = target.connection(since).await?;
        let Replicated {
            step,
            replicas,
            is_asking,
        } = replicated;
        let max_wait = (self.timeouts.response / 2).min(MAX_WAIT);
        let max_wait = match step.request() {
            // A grant that is confirmed late has little time left.
            Request::Renew(renew) => max_wait.min(Duration::from_millis(renew.lease / 3)),
            _ => max_wait,
        };
        let wait = Wait {
            replicas,
            max_wait,
            is_asking,
            since,
        };
        let mut answers = wait.send(&connection, step.by_hash()).await?;
        if reply::needs_text(&answers.0) {
            answers = wait.send(&connection, step.by_text()).await?;
        }
        let reply = reply::parse(answers.0?)?;
        let acknowledged = match reply {
            Reply::Deleted(false) => {
                let marker = format!("{{{}}},deleted", step.name());
                let (written, acknowledged) = wait.send(&connection, empty_write(&marker)).await?;
                written?;
                acknowledged?
            }
            _ => answers.1?,
        };
        // After a failure or a drop, `WAIT` may still block the connection: it is not used again.
        self.idle().push(target);
        match acknowledged {
            _ if matches!(reply, Reply::Lost) => Ok(reply),
            Value::Int(count) if count >= i64::from(replicas) => Ok(reply),
            Value::Int(count) => Err(Failure::Refused(StoreFailure::TooFewReplicas {
                wanted: replicas,
                acknowledged: u32::try_from(count).unwrap_or(0),
            })
            .into()),
            _ => Err(reply::unexpected()),
        }
    }

    fn not_sent(&self) -> Failure {
        Failure::NotReady {
            address: self.server.to_string(),
            reason: format!(
                "all {MAX_CONNECTIONS} connections that wait for replicas were in use for {:?}: try again",
                self.timeouts.response
            ),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Reconnecting>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write without a lasting effect. Valkey waits only for the writes of this connection. A delete that found nothing wrote
/// nothing, but the replicas may not have acknowledged an earlier delete yet.
fn empty_write(name: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command
        .arg("redis.call('SET', KEYS[1], '', 'PX', '1000') redis.call('UNLINK', KEYS[1])")
        .arg(1)
        .arg(name);
    command
}

struct Wait {
    replicas: u32,
    max_wait: Duration,
    is_asking: bool,
    since: Instant,
}

impl Wait {
    /// Returns the replies to the step and to `WAIT`.
    async fn send(&self, connection: &Connection, step: Cmd) -> Result<(Answer, Answer), CommandError> {
        let mut pipeline = Pipeline::new();
        if self.is_asking {
            pipeline.cmd("ASKING");
        }
        pipeline.add_command(step);
        // Zero would mean no limit.
        let milliseconds = self.max_wait.as_millis().max(1).to_string();
        pipeline.cmd("WAIT").arg(self.replicas).arg(milliseconds);
        let mut answers = connection.pipeline(pipeline, self.since).await?;
        let (waited, executed) = (answers.pop(), answers.pop());
        Ok((
            executed.ok_or_else(reply::unexpected)?,
            waited.ok_or_else(reply::unexpected)?,
        ))
    }
}
