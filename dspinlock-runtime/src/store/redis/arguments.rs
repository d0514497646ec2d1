//! What a script is told: its keys and its arguments, in the order in which it reads them.

use std::fmt::Display;
use std::time::SystemTime;

use bytes::Bytes;
use redis::Cmd;

use super::scripts::{self, Script};
use crate::protocol::{Acquire, Publish, Renew, Request};
use crate::state::{Minute, State};

/// The script that takes a step, and what it is told.
pub(super) fn script(names: [String; 2], request: Request) -> (&'static Script, Arguments) {
    let arguments = Arguments::new(names);
    match request {
        Request::Acquire(request) => (&scripts::ACQUIRE, arguments.acquire(request)),
        Request::Renew(request) => (&scripts::RENEW, arguments.renew(request)),
        Request::Publish(request) => (&scripts::PUBLISH, arguments.publish(request)),
        Request::Abort { tag } => (&scripts::ABORT, arguments.text(tag)),
        Request::Delete => (&scripts::DELETE, arguments),
        Request::Read(_) => unreachable!("a read is no script"),
    }
}

/// Keys and arguments of a script.
pub(super) struct Arguments(Vec<Bytes>);

impl Arguments {
    fn new(names: [String; 2]) -> Self {
        let mut arguments = Vec::with_capacity(16);
        arguments.push(Bytes::from_static(b"2"));
        arguments.extend(names.map(Bytes::from));
        Self(arguments)
    }

    pub(super) fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script);
        self.0.iter().for_each(|argument| {
            command.arg(argument.as_ref());
        });
        command
    }

    fn acquire(self, request: Acquire) -> Self {
        self.own(request.tag)
            .text(request.lease)
            .text(request.holder)
            .minute()
            .text(request.max_block)
            .flag(request.cached)
            .flag(request.fail_if_key_exists)
            .flag(request.want_value)
            .own(request.refuse.unwrap_or_default())
            .own(request.stale.unwrap_or_default())
            .text(request.bound)
    }

    fn renew(self, request: Renew) -> Self {
        self.own(request.tag).text(request.fence).text(request.lease)
    }

    fn publish(self, request: Publish) -> Self {
        let payload = request.payload.as_deref();
        let (length, checksum) = (payload.map_or(0, <[u8]>::len), payload.map_or(0, crc32fast::hash));
        // A fence is most often the time of its grant: then these are the very bytes of the state.
        let granted = State {
            tag: &request.tag,
            stamp: request.fence as i64,
            computed: false,
        };
        let granted = granted.to_string();
        let arguments = self
            .own(request.tag)
            .text(request.fence)
            .text(request.holder)
            .minute()
            .own(granted)
            .text(request.ttl)
            .text(request.took)
            .text(length)
            .text(format_args!("{checksum:08x}"));
        match request.payload {
            Some(payload) => arguments.own(payload),
            None => arguments,
        }
    }

    /// The caller's guess of the current minute, which spares the script some sums; it decides nothing.
    fn minute(self) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let minute = Minute::of(now.map_or(0, |since| since.as_micros() as i64));
        self.text(minute.number).text(minute)
    }

    fn own(mut self, argument: impl Into<Bytes>) -> Self {
        self.0.push(argument.into());
        self
    }

    fn text(self, argument: impl Display) -> Self {
        self.own(argument.to_string())
    }

    fn flag(self, argument: bool) -> Self {
        self.own(Bytes::from_static(if argument { b"1" } else { b"0" }))
    }
}
