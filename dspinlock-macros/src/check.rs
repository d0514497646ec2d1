//! Every rejection.

use crate::fallback::Mistakes;
use crate::model::Guarded;

/// Notes all that is wrong with a function or with its arguments.
pub(crate) fn check(_guarded: &Guarded, _mistakes: &mut Mistakes) {}
