//! What a block says that an attribute has in its `static` site. `order` reads it, `site_call` sets it.

use std::borrow::Cow;
use std::time::Duration;

use super::site::Site;
use crate::error::Error;
use crate::options::{MAX_DURATION, Options, Wait};

/// The site of every block: the options of an attribute without arguments. The name of each block is in its [`Block`].
pub(super) static SITE: Site = Site::new("dspinlock::site").name("dspinlock::site");

/// The name and the arguments of one block.
pub(super) struct Block {
    pub(super) name: Cow<'static, str>,
    pub(super) version: Option<u32>,
    /// `ttl = duration`.
    pub(super) has_ttl: bool,
    /// `ttl = |value| ...`.
    pub(super) has_ttl_rule: bool,
    /// `err_ttl = ...`.
    pub(super) records_errors: bool,
    /// `on_error = run_unlocked`.
    pub(super) runs_after_errors: bool,
    /// `on_store_error = run_unlocked`.
    pub(super) runs_unlocked: bool,
    /// `on_busy = skip`.
    pub(super) skips: bool,
}

/// What else a call of a block has.
pub(super) struct Beside<'a> {
    pub(super) options: &'a Options,
    pub(super) cached: bool,
    pub(super) near_cache: Option<Duration>,
    pub(super) err_ttl: Option<Duration>,
    pub(super) validates: bool,
}

impl Block {
    pub(super) fn new(name: Cow<'static, str>) -> Self {
        Self {
            name,
            version: None,
            has_ttl: false,
            has_ttl_rule: false,
            records_errors: false,
            runs_after_errors: false,
            runs_unlocked: false,
            skips: false,
        }
    }

    /// Refuses what the compiler refuses in an attribute. `Options` checks the ranges of its fields.
    pub(super) fn check(&self, beside: &Beside<'_>) -> Result<(), Error> {
        if self.name.is_empty() {
            return Err(Error::option(
                "`site` needs a name: use `HashDSpinlock` for `name = \"\"`",
            ));
        }
        match self.refusal(beside) {
            Some(reason) => Err(Error::option(reason).at(&self.name)),
            None => Ok(()),
        }
    }

    /// Refuses arguments whose error would run the body.
    ///
    /// # Panics
    ///
    /// Panics if `on_error = run_unlocked` contradicts another argument.
    pub(super) fn check_unlocked(&self, validates: bool) {
        if !self.runs_after_errors {
            return;
        }
        assert!(
            !validates,
            "`run_unlocked` would run a reused key again: remove it, or `validating` (`{}`)",
            self.name
        );
        assert!(
            !self.runs_unlocked,
            "`run_unlocked` includes errors of the store: remove it, or `run_unlocked_on_store_error` (`{}`)",
            self.name
        );
    }

    /// # Panics
    ///
    /// Panics if `on_error = run_unlocked` would run a body that `run_cancelled` has dropped.
    pub(super) fn check_cancelled(&self) {
        assert!(
            !self.runs_after_errors,
            "`run_cancelled` drops the body, so `run_unlocked` cannot run it: remove one of them (`{}`)",
            self.name
        );
    }

    fn refusal(&self, beside: &Beside<'_>) -> Option<&'static str> {
        let Beside {
            options,
            cached,
            near_cache,
            err_ttl,
            validates,
        } = *beside;
        let fails = options.fail_if_key_exists;
        let has_tries = !options.outlasts_lease;
        let refusals = [
            (
                options.wait.is_some() && has_tries,
                "`wait` and `max_spinlock_tries` both limit how long a call waits: remove one",
            ),
            (
                near_cache.is_some() && fails,
                "`near_cache` contradicts `fail_if_key_exists`, because it returns a copy instead of the error: remove one",
            ),
            (
                near_cache.is_some_and(|age| !self.has_ttl_rule && age > options.ttl),
                "`near_cache` must be <= `ttl`, because no copy outlives its value: shorten it, or raise `ttl`",
            ),
            (
                err_ttl.is_some_and(|ttl| ttl > MAX_DURATION),
                "`err_ttl` must be <= 100 years",
            ),
            (
                self.records_errors && fails,
                "`err_ttl` contradicts `fail_if_key_exists`: a job that failed may run again, so remove one",
            ),
            (
                self.runs_unlocked && fails,
                "`run_unlocked_on_store_error` could run a job twice: remove it, or `fail_if_key_exists`",
            ),
            (
                self.runs_unlocked && validates,
                "`run_unlocked_on_store_error` would run a reused key again: remove it, or `validating`",
            ),
            (
                self.skips && options.wait == Some(Wait::Forever),
                "`skip_if_busy` has no effect with `wait_forever`: remove one",
            ),
            (
                self.has_ttl && self.has_ttl_rule,
                "`ttl` and `ttl_with` both say how long a value is kept: remove one",
            ),
            (
                (self.has_ttl || self.has_ttl_rule) && !cached && !fails,
                "`ttl` has no effect, because nothing is stored: add `cached` or `fail_if_key_exists`, or remove it",
            ),
        ];
        refusals
            .into_iter()
            .find_map(|(is_refused, reason)| is_refused.then_some(reason))
    }
}
