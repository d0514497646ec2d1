//! The commands of the protocol's steps: scripts with their keys and arguments, and the ranges of plain reads.

use redis::Cmd;

use super::scripts::{self, Script};
use crate::key::{Format, Key};
use crate::protocol::encoding::{shared, single};
use crate::protocol::state::MAX_STATE;
use crate::protocol::tag::{Head, Id, Kind};
use crate::protocol::{Acquire, Publish, Read, Request};

/// A step that a script executes: every request but a read.
pub(crate) struct Step {
    key: Key,
    name: String,
    script: &'static Script,
    request: Request,
    is_look: bool,
}

impl Step {
    /// `Err` is a read: a plain command executes it.
    pub(crate) fn new(key: &Key, request: Request) -> Result<Self, Read> {
        let scripts = match key.format() {
            Format::Shared => scripts::SHARED,
            Format::Single => scripts::SINGLE,
        };
        let script = match &request {
            Request::Acquire(_) => scripts.acquire,
            Request::Renew(_) => scripts.renew,
            Request::Publish(_) => scripts.publish,
            Request::Release(_) => scripts.release,
            Request::Abort { .. } => scripts.abort,
            Request::Delete => &scripts::DELETE,
            Request::Describe(_) => scripts.describe,
            Request::Read(read) => return Err(*read),
        };
        Ok(Self {
            key: key.clone(),
            name: key.name(),
            script,
            request,
            is_look: false,
        })
    }

    /// The step of a waiter: an ACQUIRE expects that the key is held.
    pub(crate) fn into_look(self) -> Self {
        Self {
            is_look: true,
            ..self
        }
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// The step with the digest of its script.
    pub(crate) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", self.script.hash())
    }

    /// The step with the source of its script, which the server keeps.
    pub(crate) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.script.text())
    }

    fn command(&self, verb: &str, code: &str) -> Cmd {
        let payload = match &self.request {
            Request::Publish(request) => request.payload.as_ref().map_or(0, bytes::Bytes::len),
            _ => 0,
        };
        let mut command = Cmd::with_capacity(ARGUMENTS, ARGUMENT_BYTES + code.len() + payload);
        command.arg(verb).arg(code).arg(1).arg(&self.name);
        match &self.request {
            Request::Acquire(request) => self.acquire(&mut command, request),
            Request::Renew(request) => {
                command
                    .arg(self.held(request.id))
                    .arg(request.lease)
                    .arg(NO_VALUE);
            }
            Request::Publish(request) => self.publish(&mut command, request),
            Request::Release(request) => {
                let was_sent = u8::from(request.was_sent);
                command.arg(self.held(request.id)).arg(was_sent).arg(NO_VALUE);
            }
            Request::Abort { tag } => drop(command.arg(tag.as_str())),
            Request::Describe(read) => drop(command.arg(read.bound)),
            Request::Delete | Request::Read(_) => {}
        }
        command
    }

    fn acquire(&self, command: &mut Cmd, request: &Acquire) {
        let origin = match self.key.format() {
            Format::Shared => shared::suffix(&request.origin),
            Format::Single => request.origin.blocked(),
        };
        command
            .arg(request.tag.as_str())
            .arg(origin)
            .arg(request.lease)
            .arg(request.max_block)
            .arg(u8::from(request.cached))
            .arg(u8::from(request.fail_if_key_exists))
            .arg(u8::from(request.seize))
            .arg(request.refuse.as_ref().map_or("", |tag| tag.as_str()))
            .arg(request.stale.as_deref().unwrap_or_default())
            .arg(u8::from(self.is_look))
            .arg(request.bound);
    }

    fn publish(&self, command: &mut Cmd, request: &Publish) {
        command.arg(self.held(request.id));
        if self.key.format() == Format::Single {
            command.arg(&*single::computed(&self.key, request));
        }
        command.arg(request.ttl).arg(NO_VALUE);
    }

    /// What the script compares with the entry: the grant, and for the single encoding the whole head.
    fn held(&self, id: Id) -> String {
        match self.key.format() {
            Format::Shared => id.to_string(),
            Format::Single => Head {
                kind: Kind::Blocked,
                id,
            }
            .to_string(),
        }
    }
}

/// The capacity of a command: its arguments, and their bytes without the script and the payload.
const ARGUMENTS: usize = 20;
const ARGUMENT_BYTES: usize = 768;

/// Reads an entry up to one byte more than the bound, which shows that the entry is longer.
pub(crate) fn range(name: &str, bound: usize) -> Cmd {
    let mut command = Cmd::with_capacity(4, name.len() + 32);
    command.arg("GETRANGE").arg(name).arg(0).arg(bound);
    command
}

/// The bound of a read of this key.
pub(crate) fn bound(key: &Key, read: Read) -> usize {
    match key.format() {
        Format::Shared => MAX_STATE,
        Format::Single => read.bound,
    }
}

/// The last word of a script whose reply has no value.
const NO_VALUE: &str = "-";

/// How long the reply to a command may be, beyond what any reply may be. `None` if the reply is a push. The last word of an
/// ACQUIRE, a DESCRIBE and a range is the bound of its value. No other script ends with a number.
pub(crate) fn max_reply(name: &[u8], last: &[u8]) -> Option<u64> {
    /// The slot map of a large cluster.
    const MAX_SLOTS: u64 = 16 << 20;
    /// The names of other programs may be long.
    const MAX_NAMES: u64 = 1 << 20;
    match name {
        b"GETRANGE" | b"EVALSHA" | b"EVAL" => {
            let bound = std::str::from_utf8(last)
                .ok()
                .and_then(|text| text.parse::<u64>().ok());
            Some(bound.map_or(0, |bound| bound.saturating_add(1)))
        }
        b"CLUSTER" => Some(MAX_SLOTS),
        b"SCAN" => Some(MAX_NAMES),
        b"SUBSCRIBE" => None,
        _ => Some(0),
    }
}

/// Whether the server will push a change of what the next command reads: `CLIENT CACHING YES`.
pub(crate) fn is_registration(name: &[u8], last: &[u8]) -> bool {
    name == b"CLIENT" && last == b"YES"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Renew;
    use crate::protocol::header::Origin;
    use crate::protocol::tag::Tag;

    fn tag() -> Tag {
        Tag::parse(b"tag-of-16-bytes_").expect("a tag")
    }

    #[test]
    fn the_bound_of_a_value_is_the_last_word_of_its_command() {
        let key = Key::custom("key").expect("a name");
        let request = Request::Acquire(Acquire {
            tag: tag(),
            lease: 1,
            max_block: 2,
            cached: true,
            fail_if_key_exists: false,
            seize: false,
            refuse: None,
            stale: None,
            origin: Origin::new(1, "host", "site"),
            bound: 12_345,
        });
        let step = Step::new(&key, request).expect("a script");
        for command in [step.by_hash(), step.by_text(), range("name", 12_345)] {
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
            id: Id { tag: tag(), fence: 1 },
            lease: 86_400_000,
        });
        let command = Step::new(&key, renew).expect("a script").by_hash();
        let Some(redis::Arg::Simple(last)) = command.args_iter().last() else {
            panic!("a command has words")
        };
        assert_eq!(max_reply(b"EVALSHA", last), Some(0));
    }
}
