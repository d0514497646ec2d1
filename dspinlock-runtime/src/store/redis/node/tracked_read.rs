//! The read that fills the near cache: plain reads, their registration and their remaining lifetime, in one round trip.
//! `node` calls it. It runs no script.

use redis::{Cmd, Pipeline, Value};

use crate::protocol::{Read, Reply};
use crate::rt::clock::Instant;
use crate::store::api::Tracked;
use crate::store::redis::connection::Connection;
use crate::store::redis::wire::command::{state_range, value_range};
use crate::store::redis::wire::reply::{self, Answer, CommandError};

/// Reads the value, and the state if the key is shared. Every entry that is read is registered.
pub(crate) async fn read(
    connection: &Connection,
    [state, value]: [String; 2],
    request: Read,
    since: Instant,
) -> Result<Tracked, CommandError> {
    let mut entries = vec![(value_range(&value, request.bound), value)];
    if request.shared {
        entries.push((state_range(&state), state));
    }
    let mut pipeline = Pipeline::with_capacity(3 * entries.len());
    for (range, name) in entries {
        read_entry(&mut pipeline, range, name);
    }
    let mut answers = connection.pipeline(pipeline, since).await?.into_iter();
    let (value, lifetime) = split(&mut answers)?;
    let (state, lifetimes) = match request.shared {
        true => {
            let (state, other) = split(&mut answers)?;
            (Some(state), vec![lifetime, other])
        }
        false => (None, vec![lifetime]),
    };
    Ok(tracked(reply::read(request, state, value)?, &lifetimes))
}

/// A registration covers the next command only.
fn read_entry(pipeline: &mut Pipeline, range: Cmd, name: String) {
    pipeline.cmd("CLIENT").arg("CACHING").arg("YES");
    pipeline.add_command(range);
    pipeline.cmd("PTTL").arg(name);
}

/// The remaining lifetime of an entry in milliseconds; negative if it has no expiry or does not exist. `None` if it is
/// not registered.
type Lifetime = Option<i64>;

fn split(answers: &mut impl Iterator<Item = Answer>) -> Result<(Answer, Lifetime), CommandError> {
    let mut next = || answers.next().ok_or_else(reply::unexpected);
    let (registered, read, remaining) = (next()?, next()?, next()?);
    let lifetime = match (registered, remaining) {
        (Ok(_), Ok(Value::Int(remaining))) => Some(remaining),
        _ => None,
    };
    Ok((read, lifetime))
}

/// A hit is valid until the first of its entries expires.
fn tracked(reply: Reply, lifetimes: &[Lifetime]) -> Tracked {
    const NO_EXPIRY: i64 = -1;
    let registered = lifetimes.iter().all(Option::is_some);
    let expiring = lifetimes
        .iter()
        .flatten()
        .filter(|lifetime| **lifetime != NO_EXPIRY);
    let remaining = expiring
        .map(|lifetime| u64::try_from(*lifetime).unwrap_or(0))
        .min();
    let reply = match reply {
        Reply::Hit(hit, _) => Reply::Hit(hit, remaining),
        other => other,
    };
    Tracked { reply, registered }
}
