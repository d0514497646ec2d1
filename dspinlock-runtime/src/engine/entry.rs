//! What a program does with a key without a call: look at its entry, delete it, or replace it. `call` and `lock` use it.

use std::time::Duration;

use bytes::Bytes;

use super::attempt::{Attempt, CallSpec, Outcome};
use crate::error::{Error, KeyName};
use crate::key::Key;
use crate::lease::claim::Claim;
use crate::lease::{Publication, PublishOutcome};
use crate::pool::Pool;
use crate::pool::flight::Found;
use crate::protocol::header::differs;
use crate::protocol::state::BadState;
use crate::protocol::status::{Status, Stored};
use crate::protocol::{Existing, Read, Reply, Request, encoding};

/// The state of a key.
pub(crate) async fn status(key: Key, site: &str, pool: Option<Pool>) -> Result<Status, Error> {
    let pool = Pool::of_call(pool).await?;
    let key = pool.store_key(key);
    Ok(described(&pool, &key, site)
        .await?
        .map_or(Status::Free, |(status, _)| status))
}

/// The state of the entry of this key of the store, and its holder's line. `None` if there is no entry.
async fn described(pool: &Pool, key: &Key, site: &str) -> Result<Option<(Status, Existing)>, Error> {
    // The line alone, without a value.
    let (existing, is_computed) = match describe(pool, key, site, 0).await? {
        Reply::Busy(existing) => (existing, false),
        Reply::Exists(existing) => (existing, true),
        _ => return Ok(None),
    };
    Ok(Some((encoding::status(key, &existing, is_computed), existing)))
}

/// The state and the fence of the entry with the name of this key.
#[cfg(feature = "inspect")]
pub(crate) async fn describe_named(pool: &Pool, key: &Key) -> Result<(Status, Option<u64>), Error> {
    let described = match described(pool, key, "").await {
        Err(Error::AtomicQueryInvalidState { .. } | Error::InvalidValueEncounteredDuringUnpacking { .. }) => {
            return Ok((Status::Foreign, None));
        }
        described => described?,
    };
    Ok(described.map_or((Status::Free, None), |(status, existing)| {
        (status, encoding::fence(key, existing.line))
    }))
}

/// Deletes the entry with the name of this key. Returns whether there was one.
#[cfg(feature = "inspect")]
pub(crate) async fn delete_named(pool: &Pool, key: &Key) -> Result<bool, Error> {
    let reply = pool.send(key, Request::Delete).await?;
    pool.flights().disband(key);
    Ok(reply == Reply::Deleted(true))
}

/// The value of a key, encoded. `None` if it was stored for other values than `validated`.
pub(crate) async fn peek(
    key: Key,
    site: &str,
    validated: Option<Box<[u8; 32]>>,
    pool: Option<Pool>,
) -> Result<Option<Stored<Found>>, Error> {
    let pool = Pool::of_call(pool).await?;
    let key = pool.store_key(key);
    let bound = pool.bound();
    let (value, age, remaining) = match describe(&pool, &key, site, bound).await? {
        Reply::Hit(hit, remaining) => {
            let remaining = remaining.unwrap_or(hit.ttl());
            let check = validated.map(|validated| pool.check_of(&key, &validated));
            if differs(check, hit.check()) {
                return Ok(None);
            }
            // A call would refuse a damaged or forged value, too.
            let Ok(found) = pool.verified(&key, hit, Some(remaining)) else {
                return Ok(None);
            };
            let age = found.age.unwrap_or_default();
            (found, age, Duration::from_millis(remaining))
        }
        Reply::Exists(existing) if key.is_shared() => match encoding::status(&key, &existing, true) {
            Status::Computed { age, remaining, .. } => (
                Found::NO_VALUE,
                age.unwrap_or_default(),
                remaining.unwrap_or(Duration::MAX),
            ),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(Stored {
        value,
        age,
        remaining,
    }))
}

async fn describe(pool: &Pool, key: &Key, site: &str, bound: usize) -> Result<Reply, Error> {
    let request = Request::Describe(Read { bound });
    let reply = pool.send(key, request).await.map_err(|error| error.at(site))?;
    let name = || KeyName::new(site.to_owned(), key.to_string());
    match reply {
        Reply::Bad(BadState::Number) => Err(Error::AtomicQueryInvalidState { key: name() }),
        Reply::Bad(BadState::Malformed) => Err(Error::InvalidValueEncounteredDuringUnpacking { key: name() }),
        reply => Ok(reply),
    }
}

/// Deletes the entry. Returns whether there was one.
pub(crate) async fn delete(key: Key, site: &str, replicas: u32, pool: Option<Pool>) -> Result<bool, Error> {
    let pool = Pool::of_call(pool).await?;
    let key = pool.store_key(key);
    let reply = match replicas {
        0 => pool.send(&key, Request::Delete).await,
        replicas => {
            pool.requests()
                .send_replicated(&key, Request::Delete, replicas)
                .await
        }
    };
    let deleted = reply.map_err(|error| error.at(site))? == Reply::Deleted(true);
    // If a leader of this process held the lock, it has lost it.
    pool.flights().disband(&key);
    Ok(deleted)
}

/// Stores a result in place of whatever the entry is. A caller that holds the key loses its lease.
///
/// # Errors
///
/// [`Error::LeaseLost`] if another call has replaced the entry meanwhile.
pub(crate) async fn prime(mut spec: Box<CallSpec>, publication: Publication) -> Result<(), Error> {
    let site = spec.caller.site.clone();
    let pool = Pool::of_call(spec.pool.take()).await?;
    spec.seizes = true;
    let attempt = Attempt::new(pool.clone(), spec, false)?;
    let (key, name) = (attempt.key.clone(), attempt.name());
    let size = publication.payload.as_ref().map_or(0, Bytes::len);
    let limit = pool.max_value_size();
    if size > limit {
        return Err(Error::ValueTooLarge {
            key: name,
            size,
            limit,
        });
    }
    let claim = Claim::new(&pool, &key, attempt.lease, None);
    let Outcome::Lead(lease) = attempt.acquire(claim).await.map_err(|error| error.at(&site))? else {
        return Err(Error::LeaseLost { key: name });
    };
    pool.flights().disband(&key);
    match lease
        .publish(publication)
        .await
        .map_err(|error| error.at(&site))?
    {
        PublishOutcome::Published => Ok(()),
        PublishOutcome::AlreadyLost | PublishOutcome::Lost => Err(Error::LeaseLost { key: name }),
    }
}
