//! Steps that replicas are to hear of: `WAIT` behind the step's write, on a connection of their own.
//!
//! `WAIT` keeps its connection until the replicas have answered, so it never goes out on a shared one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::Semaphore;

use crate::error::StoreFailure;
use crate::protocol::{Reply, Request};
use crate::store::redis::connection::Generation;
use crate::store::redis::reconnect::Link;
use crate::store::redis::wire::command::Step;
use crate::store::redis::wire::reply;
use crate::store::redis::{Answer, Failure};

/// How many steps may wait for replicas at once.
const AT_ONCE: usize = 16;
/// How long replicas may take at most.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connections for steps that wait, as many as there were at once.
pub(in crate::store::redis) struct Waiting {
    idle: Mutex<Vec<Link>>,
    room: Semaphore,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            idle: Mutex::default(),
            room: Semaphore::new(AT_ONCE),
        }
    }
}

/// A step, and who is to hear of it.
pub(in crate::store::redis) struct Heard {
    pub(in crate::store::redis) names: [String; 2],
    pub(in crate::store::redis) request: Request,
    pub(in crate::store::redis) replicas: u32,
    /// The slot is on its way to this node.
    pub(in crate::store::redis) is_asking: bool,
}

impl Waiting {
    /// Takes a step that writes whenever it succeeds, and is done when the replicas have heard of it, and of all that was
    /// written before.
    pub(in crate::store::redis) async fn take(
        &self,
        connect: impl FnOnce() -> Link,
        respond: Duration,
        heard: Heard,
    ) -> Result<Reply, Failure> {
        let _room = self.room.acquire().await;
        let link = self.idle().pop().unwrap_or_else(connect);
        let generation = link.generation().await?;
        let most = (respond / 2).min(PATIENCE);
        let most = match &heard.request {
            // A grant that is confirmed late has little time left.
            Request::Renew(renew) => most.min(Duration::from_millis(renew.lease / 3)),
            _ => most,
        };
        let wait = Wait {
            replicas: heard.replicas,
            most,
            is_asking: heard.is_asking,
        };
        let mark = format!("{{{}}},deleted", heard.names[0]);
        let step = Step {
            names: heard.names,
            request: heard.request,
        };
        let mut answers = wait.send(&generation, step.by_hash()).await?;
        if reply::is_unknown_script(&answers.0) {
            answers = wait.send(&generation, step.by_text()).await?;
        }
        let reply = reply::parse(answers.0?)?;
        let waited = match reply {
            Reply::Deleted(false) => {
                let (written, waited) = wait.send(&generation, a_write(&mark)).await?;
                written?;
                waited?
            }
            _ => answers.1?,
        };
        // Not where it was dropped or failed on the way: then it may still be waiting.
        self.idle().push(link);
        match waited {
            _ if matches!(reply, Reply::Lost) => Ok(reply),
            Value::Int(count) if count >= i64::from(heard.replicas) => Ok(reply),
            Value::Int(count) => Err(Failure::Refused(StoreFailure::TooFewReplicas {
                wanted: heard.replicas,
                acknowledged: u32::try_from(count).unwrap_or(0),
            })),
            _ => Err(reply::unexpected()),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write that leaves nothing: Valkey waits for this connection's writes alone, and a delete that found nothing wrote
/// nothing, while the one before it may not have been heard of yet.
fn a_write(name: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command
        .arg("redis.call('SET', KEYS[1], '', 'PX', '1000') redis.call('UNLINK', KEYS[1])")
        .arg(1)
        .arg(name);
    command
}

struct Wait {
    replicas: u32,
    most: Duration,
    is_asking: bool,
}

impl Wait {
    /// The answers to the step and to `WAIT`.
    async fn send(&self, generation: &Generation, step: Cmd) -> Result<(Answer, Answer), Failure> {
        let mut pipeline = Pipeline::new();
        if self.is_asking {
            pipeline.cmd("ASKING");
        }
        pipeline.add_command(step);
        // Zero would be for ever.
        let milliseconds = self.most.as_millis().max(1).to_string();
        pipeline.cmd("WAIT").arg(self.replicas).arg(milliseconds);
        let mut answers = generation.pipeline(pipeline).await?;
        let (waited, taken) = (answers.pop(), answers.pop());
        Ok((
            taken.ok_or_else(reply::unexpected)?,
            waited.ok_or_else(reply::unexpected)?,
        ))
    }
}
