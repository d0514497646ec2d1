//! The commands of the protocol's steps: scripts with their keys and arguments, and the ranges of plain reads.

use redis::Cmd;

use super::scripts::{self, Script};
use crate::key::Key;
use crate::protocol::state::{MAX_STATE, State};
use crate::protocol::timestamp::Minute;
use crate::protocol::{Acquire, Publish, Read, Renew, Request};

/// A step that a script executes: every request but a read.
pub(crate) struct Step {
    names: [String; 2],
    script: &'static Script,
    request: Request,
}

impl Step {
    /// `Err` is a read: plain commands execute it.
    pub(crate) fn new(key: &Key, request: Request) -> Result<Self, Read> {
        let script = match &request {
            Request::Acquire(_) => &scripts::ACQUIRE,
            Request::Renew(_) => &scripts::RENEW,
            Request::Publish(_) => &scripts::PUBLISH,
            Request::Abort { .. } => &scripts::ABORT,
            Request::Delete => &scripts::DELETE,
            Request::Read(read) => return Err(read.clone()),
        };
        Ok(Self {
            names: [key.state_name(), key.value_name()],
            script,
            request,
        })
    }

    pub(crate) fn names(&self) -> &[String; 2] {
        &self.names
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// The step with the digest of its script. `minute` is the current minute of the server's clock, if that is known: then
    /// the script need not calculate a date.
    pub(crate) fn by_hash(&self, minute: Option<Minute>) -> Cmd {
        self.command("EVALSHA", self.script.hash(), minute)
    }

    /// The step with the source of its script, which the server keeps. `minute`: see [`by_hash`](Self::by_hash).
    pub(crate) fn by_text(&self, minute: Option<Minute>) -> Cmd {
        self.command("EVAL", self.script.text(), minute)
    }

    fn command(&self, verb: &str, code: &str, minute: Option<Minute>) -> Cmd {
        let payload = match &self.request {
            Request::Publish(request) => request.payload.as_ref().map_or(0, bytes::Bytes::len),
            _ => 0,
        };
        let mut command = Cmd::with_capacity(ARGUMENTS, ARGUMENT_BYTES + code.len() + payload);
        command.arg(verb).arg(code).arg(2).arg(&self.names);
        match &self.request {
            Request::Acquire(request) => acquire(&mut command, request, minute),
            Request::Renew(request) => renew(&mut command, request),
            Request::Publish(request) => publish(&mut command, request, minute),
            Request::Abort { tag } => drop(command.arg(tag)),
            Request::Delete | Request::Read(_) => {}
        }
        command
    }
}

/// The capacity of a command: its arguments, and their bytes without the script and the payload.
const ARGUMENTS: usize = 20;
const ARGUMENT_BYTES: usize = 768;

/// Reads the state of a key.
pub(crate) fn state_range(name: &str) -> Cmd {
    let mut command = redis::cmd("GETRANGE");
    command.arg(name).arg(0).arg(MAX_STATE);
    command
}

/// Reads a value up to one byte more than the bound, which shows that the value is longer.
pub(crate) fn value_range(name: &str, bound: usize) -> Cmd {
    let mut command = Cmd::with_capacity(4, name.len() + 32);
    command.arg("GETRANGE").arg(name).arg(0).arg(bound);
    command
}

/// The last word of a script whose reply has no value.
const NO_VALUE: &str = "-";

/// How long the reply to a command may be, beyond what any reply may be. `None` if the reply is a push. The last word of an
/// ACQUIRE and of a range is the bound of its value. No other script ends with a number, except the checksum of no payload, 0.
pub(crate) fn max_reply(name: &[u8], last: &[u8]) -> Option<u64> {
    /// The slot map of a large cluster.
    const MAX_SLOTS: u64 = 16 << 20;
    match name {
        b"GETRANGE" | b"EVALSHA" | b"EVAL" => {
            let bound = std::str::from_utf8(last)
                .ok()
                .and_then(|text| text.parse::<u64>().ok());
            Some(bound.map_or(0, |bound| bound.saturating_add(1)))
        }
        b"CLUSTER" => Some(MAX_SLOTS),
        b"SUBSCRIBE" => None,
        _ => Some(0),
    }
}

/// Whether the server will push a change of what the next command reads: `CLIENT CACHING YES`.
pub(crate) fn is_registration(name: &[u8], last: &[u8]) -> bool {
    name == b"CLIENT" && last == b"YES"
}

fn acquire(command: &mut Cmd, request: &Acquire, minute: Option<Minute>) {
    command
        .arg(&request.tag)
        .arg(request.lease)
        .arg(request.holder.to_string());
    add_minute(command, minute)
        .arg(request.max_block)
        .arg(u8::from(request.cached))
        .arg(u8::from(request.fail_if_key_exists))
        .arg(u8::from(request.want_value))
        .arg(request.refuse.as_deref().unwrap_or_default())
        .arg(request.stale.as_deref().unwrap_or_default())
        .arg(request.bound);
}

fn renew(command: &mut Cmd, request: &Renew) {
    command
        .arg(&request.tag)
        .arg(request.fence)
        .arg(request.lease)
        .arg(NO_VALUE);
}

fn publish(command: &mut Cmd, request: &Publish, minute: Option<Minute>) {
    let payload = request.payload.as_deref();
    // A fence is usually the time of its grant: then these are the bytes of the state.
    let granted = State {
        tag: &request.tag,
        timestamp: request.fence as i64,
        computed: false,
    };
    command
        .arg(&request.tag)
        .arg(request.fence)
        .arg(request.holder.to_string());
    add_minute(command, minute)
        .arg(granted.to_string())
        .arg(request.ttl)
        .arg(request.elapsed)
        .arg(payload.map_or(0, <[u8]>::len))
        .arg(format!("{:08x}", payload.map_or(0, crc32fast::hash)));
    if let Some(payload) = payload {
        command.arg(payload).arg(NO_VALUE);
    }
}

/// An unknown minute is 1970's first, which no server's clock shows, so the script calculates the date.
fn add_minute(command: &mut Cmd, minute: Option<Minute>) -> &mut Cmd {
    let minute = minute.unwrap_or(Minute::of(0));
    command.arg(minute.number).arg(minute.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::value::Holder;

    #[test]
    fn the_bound_of_a_value_is_the_last_word_of_its_command() {
        let key = Key::custom("key").expect("a name");
        let request = Request::Acquire(Acquire {
            tag: "tag".into(),
            lease: 1,
            max_block: 2,
            cached: true,
            fail_if_key_exists: false,
            want_value: true,
            refuse: None,
            stale: None,
            holder: Holder::new(1, "host", "site"),
            bound: 12_345,
        });
        let step = Step::new(&key, request).expect("a script");
        for command in [
            step.by_hash(None),
            step.by_text(None),
            value_range("name", 12_345),
        ] {
            let words: Vec<_> = command
                .args_iter()
                .map(|word| match word {
                    redis::Arg::Simple(word) => word.to_vec(),
                    _ => Vec::new(),
                })
                .collect();
            assert_eq!(max_reply(&words[0], &words[words.len() - 1]), Some(12_346));
        }
        let renew = Request::Renew(Renew {
            tag: "tag".into(),
            fence: 1,
            lease: 86_400_000,
        });
        let command = Step::new(&key, renew).expect("a script").by_hash(None);
        let Some(redis::Arg::Simple(last)) = command.args_iter().last() else {
            panic!("a command has words")
        };
        assert_eq!(max_reply(b"EVALSHA", last), Some(0));
    }
}
