//! The read that fills the near cache: plain reads that are registered, and the time that is left, in one round trip.

use redis::{Cmd, Pipeline, Value};

use crate::protocol::{Read, Reply};
use crate::store::redis::connection::Generation;
use crate::store::redis::wire::reply;
use crate::store::redis::{Answer, state_range, value_range};
use crate::store::{Failure, Tracked};

/// Reads the value, and of a shared key the state too. Each entry that is read is registered.
pub(in crate::store::redis) async fn read(
    generation: &Generation,
    [state, value]: [String; 2],
    request: Read,
) -> Result<Tracked, Failure> {
    let mut entries = vec![(value_range(&value, request.bound), value)];
    if request.shared {
        entries.push((state_range(&state), state));
    }
    let mut pipeline = Pipeline::with_capacity(3 * entries.len());
    for (range, name) in entries {
        entry(&mut pipeline, range, name);
    }
    let mut answers = generation.pipeline(pipeline).await?.into_iter();
    let (value, life) = split(&mut answers)?;
    let (state, lives) = match request.shared {
        true => {
            let (state, other) = split(&mut answers)?;
            (Some(state), vec![life, other])
        }
        false => (None, vec![life]),
    };
    Ok(tracked(reply::read(request, state, value)?, &lives))
}

/// A registration holds for the one command behind it.
fn entry(pipeline: &mut Pipeline, range: Cmd, name: String) {
    pipeline.cmd("CLIENT").arg("CACHING").arg("YES");
    pipeline.add_command(range);
    pipeline.cmd("PTTL").arg(name);
}

/// How long an entry lives, in milliseconds; negative: without end, or gone. `None` where it is not registered.
type Life = Option<i64>;

fn split(answers: &mut impl Iterator<Item = Answer>) -> Result<(Answer, Life), Failure> {
    let mut next = || answers.next().ok_or_else(reply::unexpected);
    let (registered, read, left) = (next()?, next()?, next()?);
    let life = match (registered, left) {
        (Ok(_), Ok(Value::Int(left))) => Some(left),
        _ => None,
    };
    Ok((read, life))
}

/// Of a hit, the time until the first of its entries is gone.
fn tracked(reply: Reply, lives: &[Life]) -> Tracked {
    const NO_END: i64 = -1;
    let registered = lives.iter().all(Option::is_some);
    let ends = lives.iter().flatten().filter(|left| **left != NO_END);
    let left = ends.map(|left| u64::try_from(*left).unwrap_or(0)).min();
    let reply = match reply {
        Reply::Hit(hit, _) => Reply::Hit(hit, left),
        other => other,
    };
    Tracked { reply, registered }
}
