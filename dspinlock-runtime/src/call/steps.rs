//! What follows, in a sync and in an async call alike, from the engine's answer and from the body's outcome.

use bytes::Bytes;

use crate::Error;
use crate::call::outcome::{Judgement, Outcome, Rules};
use crate::call::{Entering, Start};
use crate::engine::{Boxed, Entered, Lead};

/// What the outcomes of one call mean.
pub(crate) struct Verdict<R, J> {
    carry: J,
    rules: Rules<R, J>,
}

/// What follows from the engine's answer.
pub(crate) enum Step<R> {
    /// Ask the engine once more.
    Again,
    /// Run the body, under a lease or (`on_error = run_unlocked`) without.
    Body(Option<Box<Lead>>),
    /// The outcome came from elsewhere.
    Return(R),
}

/// What follows from the body's outcome.
pub(crate) enum Settled<R> {
    /// The store knows all it needs.
    Return(R),
    /// The store must be told before the outcome is returned.
    Publish(Boxed<Result<(), Error>>, R),
}

impl<R, J> Verdict<R, J> {
    pub(crate) fn new<K>(carry: J) -> Self
    where
        R: Outcome<K, J>,
    {
        Self {
            carry,
            rules: R::RULES,
        }
    }

    /// Before anything is asked: the near cache.
    pub(crate) fn recalled(&self, start: &Start) -> Option<R> {
        start.recall(self.rules.recall)
    }

    /// After the engine's answer.
    pub(crate) fn entered(&self, entering: &mut Entering, entered: Result<Entered, Error>) -> Step<R> {
        match entered {
            Ok(Entered::Lead(lead)) => Step::Body(Some(lead)),
            Ok(Entered::Hit {
                payload,
                tag,
                fill,
                order,
            }) => match (self.rules.restore)(&payload) {
                Some(outcome) => {
                    if let Some((fill, memory)) = fill.zip((self.rules.remember)(&outcome)) {
                        fill.land(memory);
                    }
                    Step::Return(outcome)
                }
                None => {
                    entering.refuse(order, &tag);
                    Step::Again
                }
            },
            Err(error) => match self.carry(error) {
                Some(outcome) => Step::Return(outcome),
                None => Step::Body(None),
            },
        }
    }

    /// After the body.
    pub(crate) fn settle(&self, lead: Option<Box<Lead>>, outcome: R) -> Settled<R> {
        let Some(lead) = lead else {
            return Settled::Return(outcome);
        };
        match (self.rules.keep)(&outcome) {
            Judgement::Abort => Settled::Publish(lead.give_up(), outcome),
            Judgement::Publish(bytes) => Settled::Publish(lead.publish(bytes.map(Bytes::from)), outcome),
            Judgement::Unencodable => {
                let key = lead.key().clone();
                Settled::Return(self.published(Err(Error::Codec { key }), outcome))
            }
        }
    }

    /// After the store's answer.
    pub(crate) fn published(&self, published: Result<(), Error>, outcome: R) -> R {
        match published {
            Ok(()) => outcome,
            Err(error) => self.carry(error).unwrap_or(outcome),
        }
    }

    fn carry(&self, error: Error) -> Option<R> {
        (self.rules.carry)(&self.carry, error)
    }
}
