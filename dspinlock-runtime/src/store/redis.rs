//! Redis and Valkey: the only place that imports the redis crate.

mod address;
mod link;
mod reply;
mod scripts;
#[cfg(feature = "tls")]
mod tls;

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Pipeline, Value};

pub(crate) use self::address::{Address, login};
use self::link::Link;
use self::scripts::Script;
use super::{Boxed, Failure, Store};
use crate::key::Key;
use crate::protocol::{Acquire, Publish, Read, Renew, Reply, Request};
use crate::state::MAX_STATE;

/// One Redis server.
pub struct RedisStore {
    link: Link,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// From the name's lookup to the end of the login.
    pub connect: Duration,
    /// From a request to its reply.
    pub respond: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            respond: Duration::from_secs(5),
        }
    }
}

impl RedisStore {
    /// The server behind a URL. Connects with the first step.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Configuration`] where the URL is none.
    pub fn open(url: &str) -> Result<Self, crate::Error> {
        Ok(Self::new(Address::parse(url)?, Limits::default()))
    }

    pub(crate) fn new(address: Address, limits: Limits) -> Self {
        Self {
            link: Link::new(address, limits),
        }
    }
}

impl Store for RedisStore {
    fn step(&self, key: &Key, request: Request) -> Boxed<Result<Reply, Failure>> {
        let names = [key.state_name(), key.value_name()];
        let link = self.link.clone();
        let (script, arguments) = match request {
            Request::Read(request) => return Box::pin(read(link, names, request)),
            Request::Acquire(request) => (&scripts::ACQUIRE, Arguments::new(names).acquire(request)),
            Request::Renew(request) => (&scripts::RENEW, Arguments::new(names).renew(request)),
            Request::Publish(request) => (&scripts::PUBLISH, Arguments::new(names).publish(request)),
            Request::Abort { tag } => (&scripts::ABORT, Arguments::new(names).text(tag)),
            Request::Delete => (&scripts::DELETE, Arguments::new(names)),
        };
        Box::pin(run(link, script, arguments))
    }
}

/// Plain reads, no script: one command where the value alone decides.
async fn read(link: Link, [state, value]: [String; 2], request: Read) -> Result<Reply, Failure> {
    let mut bounded = redis::cmd("GETRANGE");
    // One byte more than the bound tells that there is more.
    bounded.arg(value).arg(0).arg(request.bound);
    if !request.shared {
        return reply::read(request, None, link.send(bounded).await);
    }
    let mut pair = Pipeline::with_capacity(2);
    pair.cmd("GETRANGE").arg(state).arg(0).arg(MAX_STATE);
    pair.add_command(bounded);
    let [state, value] = link.send_pair(pair).await?;
    reply::read(request, Some(state), value)
}

/// Runs a script by its hash; a server that has forgotten it is given the text, which it then remembers.
async fn run(link: Link, script: &'static Script, arguments: Arguments) -> Result<Reply, Failure> {
    match link.send(arguments.command("EVALSHA", script.hash())).await {
        Err(Failure::Refused(reason)) if reply::is_unknown_script(&reason) => {
            reply::parse(link.send(arguments.command("EVAL", script.text())).await?)
        }
        other => reply::parse(other?),
    }
}

/// Keys and arguments of a script.
struct Arguments(Vec<Bytes>);

impl Arguments {
    fn new(names: [String; 2]) -> Self {
        let [state, value] = names;
        Self(vec![Bytes::from_static(b"2"), state.into(), value.into()])
    }

    fn text(mut self, argument: impl Display) -> Self {
        self.0.push(argument.to_string().into());
        self
    }

    fn flag(self, argument: bool) -> Self {
        self.text(u8::from(argument))
    }

    fn bytes(mut self, argument: Option<Bytes>) -> Self {
        self.0.extend(argument);
        self
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script);
        self.0.iter().for_each(|argument| {
            command.arg(argument.as_ref());
        });
        command
    }

    fn acquire(self, request: Acquire) -> Self {
        self.text(request.tag)
            .text(request.lease)
            .text(request.max_block)
            .flag(request.cached)
            .flag(request.fail_if_key_exists)
            .flag(request.want_value)
            .text(request.refuse.unwrap_or_default())
            .bytes(request.stale.or_else(|| Some(Bytes::new())))
            .text(request.holder)
            .text(request.bound)
    }

    fn renew(self, request: Renew) -> Self {
        self.text(request.tag).text(request.fence).text(request.lease)
    }

    fn publish(self, request: Publish) -> Self {
        let payload = request.payload.as_deref();
        let (length, checksum) = (payload.map_or(0, <[u8]>::len), payload.map_or(0, crc32fast::hash));
        self.text(request.tag)
            .text(request.fence)
            .text(request.ttl)
            .text(request.took)
            .text(length)
            .text(format_args!("{checksum:08x}"))
            .text(request.holder)
            .bytes(request.payload)
    }
}

/// A reply, or the server's refusal of that one command.
type Answer = Result<Value, Failure>;
