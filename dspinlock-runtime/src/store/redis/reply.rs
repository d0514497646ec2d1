//! From the wire's replies to the protocol's.

use bytes::Bytes;
use redis::{RedisError, Value};

use super::Answer;
use crate::error::StoreFailure;
use crate::protocol::record::{Record, Slot};
use crate::protocol::state::BadState;
use crate::protocol::value::Hit;
use crate::protocol::{self, Busy, Read, Reply, Request};
use crate::store::Failure;

/// What two plain reads found, judged by the protocol itself.
pub(super) fn read(request: Read, state: Option<Answer>, value: Answer) -> Result<Reply, Failure> {
    let state = state.map_or(Ok(Slot::Absent), slot)?;
    let record = Record {
        state,
        value: slot(value)?,
    };
    // What has expired is not in a server's reply, so no moment is needed.
    Ok(protocol::step(record, 0, &Request::Read(request)).1)
}

/// What a script answered: its verdict, then the facts.
pub(super) fn parse(reply: Value) -> Result<Reply, Failure> {
    let Value::Array(items) = reply else {
        return Err(unexpected());
    };
    let mut items = items.into_iter();
    let verdict = text(items.next())?;
    Ok(match verdict.as_ref() {
        b"ACQUIRED" => Reply::Acquired(number(items.next())?),
        b"HIT" => {
            let hit = Hit::parse(&text(items.next())?).ok_or_else(unexpected)?;
            Reply::Hit(hit, remaining(items.next())?)
        }
        b"BUSY" => Reply::Busy(Busy {
            raw: text(items.next())?,
            remaining: remaining(items.next())?,
            now: number(items.next())?,
            foreign: number(items.next())? == 1,
        }),
        b"EXISTS" => Reply::Exists(remaining(items.next())?),
        b"COMPUTED" => Reply::Computed,
        b"DONE" => Reply::Done,
        b"BAD" => Reply::Bad(match text(items.next())?.as_ref() {
            b"NUMBER" => BadState::Number,
            _ => BadState::Malformed,
        }),
        b"RENEWED" => Reply::Renewed,
        b"LOST" => Reply::Lost,
        b"PUBLISHED" => Reply::Published,
        b"ABORTED" => Reply::Aborted(number(items.next())? == 1),
        b"DELETED" => Reply::Deleted(number(items.next())? == 1),
        _ => return Err(unexpected()),
    })
}

/// A server's refusal, by its code alone: the rest of its message may quote an argument.
pub(super) fn refused(error: &RedisError) -> Failure {
    let code = error.code().unwrap_or("ERR");
    let forbidden = error
        .detail()
        .is_some_and(|detail| detail.contains("can't run this command"));
    Failure::Refused(match code {
        "NOPERM" | "NOAUTH" => StoreFailure::PermissionDenied,
        _ if forbidden => StoreFailure::PermissionDenied,
        // A slot, a host and a port.
        "MOVED" | "ASK" => StoreFailure::Refused(format!("{code} {}", error.detail().unwrap_or_default())),
        "OOM" | "READONLY" | "LOADING" | "MISCONF" | "NOREPLICAS" | "MASTERDOWN" | "CLUSTERDOWN"
        | "TRYAGAIN" | "BUSY" => StoreFailure::Unavailable(code.into()),
        _ => StoreFailure::Refused(code.into()),
    })
}

/// Where a cluster's node sends a request: a host, if it is not the node's own, and a port.
#[cfg(feature = "cluster")]
pub(super) enum Redirect<'a> {
    /// From now on.
    Moved((&'a str, u16)),
    /// This once: the slot is on its way there.
    Ask((&'a str, u16)),
    /// One entry of the key is here, and the other already there.
    Torn,
}

#[cfg(feature = "cluster")]
pub(super) fn redirect(failure: &Failure) -> Option<Redirect<'_>> {
    let text = match failure {
        Failure::Refused(StoreFailure::Unavailable(code)) if code == "TRYAGAIN" => {
            return Some(Redirect::Torn);
        }
        Failure::Refused(StoreFailure::Refused(text)) => text,
        _ => return None,
    };
    let mut words = text.split(' ');
    let (code, _slot, place) = (words.next()?, words.next()?, words.next()?);
    let (host, port) = place.rsplit_once(':')?;
    let place = (host, port.parse().ok()?);
    match code {
        "MOVED" => Some(Redirect::Moved(place)),
        "ASK" => Some(Redirect::Ask(place)),
        _ => None,
    }
}

pub(super) fn is_unknown_script(answer: &Answer) -> bool {
    matches!(answer, Err(Failure::Refused(StoreFailure::Refused(code))) if code == "NOSCRIPT")
}

fn slot(answer: Answer) -> Result<Slot, Failure> {
    match answer {
        Ok(Value::BulkString(bytes)) if bytes.is_empty() => Ok(Slot::Absent),
        Ok(Value::BulkString(bytes)) => Ok(Slot::Bytes {
            bytes: bytes.into(),
            until: None,
        }),
        Ok(_) => Err(unexpected()),
        Err(Failure::Refused(StoreFailure::Refused(code))) if code == "WRONGTYPE" => Ok(Slot::WrongType),
        Err(failure) => Err(failure),
    }
}

fn text(item: Option<Value>) -> Result<Bytes, Failure> {
    match item {
        Some(Value::BulkString(bytes)) => Ok(bytes.into()),
        _ => Err(unexpected()),
    }
}

/// Fences and times come as text, small numbers as integers.
fn number(item: Option<Value>) -> Result<u64, Failure> {
    match item {
        Some(Value::Int(number)) => u64::try_from(number).map_err(|_| unexpected()),
        Some(Value::BulkString(bytes)) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(unexpected),
        _ => Err(unexpected()),
    }
}

/// A negative number: no expiry.
fn remaining(item: Option<Value>) -> Result<Option<u64>, Failure> {
    match item {
        Some(Value::Int(number)) => Ok(u64::try_from(number).ok()),
        _ => Err(unexpected()),
    }
}

pub(super) fn unexpected() -> Failure {
    Failure::Refused(StoreFailure::Refused("a reply that no step gives".into()))
}
