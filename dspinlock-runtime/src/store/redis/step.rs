//! What a script is told: its keys and its arguments, in the order in which it reads them.

use std::time::SystemTime;

use redis::Cmd;

use super::scripts::{self, Script};
use crate::protocol::state::State;
use crate::protocol::timestamp::Minute;
use crate::protocol::{Acquire, Publish, Renew, Request};

/// A step that a script takes.
pub(super) struct Step {
    pub(super) names: [String; 2],
    pub(super) request: Request,
}

impl Step {
    /// By the script's hash.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", self.script().hash())
    }

    /// By the script's text, which a server remembers from then on.
    pub(super) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.script().text())
    }

    fn script(&self) -> &'static Script {
        match &self.request {
            Request::Acquire(_) => &scripts::ACQUIRE,
            Request::Renew(_) => &scripts::RENEW,
            Request::Publish(_) => &scripts::PUBLISH,
            Request::Abort { .. } => &scripts::ABORT,
            Request::Delete => &scripts::DELETE,
            Request::Read(_) => unreachable!("a read is no script"),
        }
    }

    fn command(&self, verb: &str, code: &str) -> Cmd {
        let payload = match &self.request {
            Request::Publish(request) => request.payload.as_ref().map_or(0, bytes::Bytes::len),
            _ => 0,
        };
        let mut command = Cmd::with_capacity(ARGUMENTS, ROOM + code.len() + payload);
        command.arg(verb).arg(code).arg(2).arg(&self.names);
        match &self.request {
            Request::Acquire(request) => acquire(&mut command, request),
            Request::Renew(request) => renew(&mut command, request),
            Request::Publish(request) => publish(&mut command, request),
            Request::Abort { tag } => drop(command.arg(tag)),
            Request::Delete | Request::Read(_) => {}
        }
        command
    }
}

/// As many arguments as the longest command has, and room for all but the script and the payload.
const ARGUMENTS: usize = 20;
const ROOM: usize = 768;

fn acquire(command: &mut Cmd, request: &Acquire) {
    command
        .arg(&request.tag)
        .arg(request.lease)
        .arg(request.holder.to_string());
    minute(command)
        .arg(request.max_block)
        .arg(u8::from(request.cached))
        .arg(u8::from(request.fail_if_key_exists))
        .arg(u8::from(request.want_value))
        .arg(request.refuse.as_deref().unwrap_or_default())
        .arg(request.stale.as_deref().unwrap_or_default())
        .arg(request.bound);
}

fn renew(command: &mut Cmd, request: &Renew) {
    command.arg(&request.tag).arg(request.fence).arg(request.lease);
}

fn publish(command: &mut Cmd, request: &Publish) {
    let payload = request.payload.as_deref();
    // A fence is most often the time of its grant: then these are the very bytes of the state.
    let granted = State {
        tag: &request.tag,
        timestamp: request.fence as i64,
        computed: false,
    };
    command
        .arg(&request.tag)
        .arg(request.fence)
        .arg(request.holder.to_string());
    minute(command)
        .arg(granted.to_string())
        .arg(request.ttl)
        .arg(request.elapsed)
        .arg(payload.map_or(0, <[u8]>::len))
        .arg(format!("{:08x}", payload.map_or(0, crc32fast::hash)));
    if let Some(payload) = payload {
        command.arg(payload);
    }
}

/// The caller's guess of the current minute, which spares the script some sums; it decides nothing.
fn minute(command: &mut Cmd) -> &mut Cmd {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let minute = Minute::of(now.map_or(0, |since| since.as_micros() as i64));
    command.arg(minute.number).arg(minute.to_string())
}
