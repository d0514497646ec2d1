//! What a pool of a test has beside its store: a clock that is moved by hand, and the number of bodies of each site. `pool` owns
//! it, `call` counts, and `inspect` reads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::rt::background;
use crate::rt::timers::manual::Manual;
use crate::store::testing::TestStore;

pub(crate) struct Testing {
    pub(crate) store: TestStore,
    pub(crate) clock: Arc<Manual>,
    bodies: Arc<Mutex<HashMap<String, usize>>>,
}

impl Testing {
    /// # Panics
    ///
    /// Panics if the process is out of threads.
    pub(crate) fn new() -> Self {
        background::start().expect("the process can start a thread");
        let clock = Manual::new();
        Self {
            store: TestStore::new(&clock),
            clock,
            bodies: Arc::default(),
        }
    }

    /// The same store, clock and counts for another process.
    pub(crate) fn of_another_process(&self) -> Self {
        Self {
            store: self.store.of_another_process(),
            clock: self.clock.clone(),
            bodies: self.bodies.clone(),
        }
    }

    /// A body of this site begins.
    pub(crate) fn count_body(&self, site: &str) {
        *self.bodies().entry(site.to_owned()).or_default() += 1;
    }

    /// How many bodies have begun of the sites with this name or with this end of their path.
    pub(crate) fn count(&self, name: &str) -> usize {
        let is_it = |site: &str| {
            let path = site.strip_suffix(name);
            path.is_some_and(|path| path.is_empty() || path.ends_with("::"))
        };
        let bodies = self.bodies();
        let counts = bodies.iter().filter(|(site, _)| is_it(site));
        counts.map(|(_, count)| count).sum()
    }

    pub(crate) fn clear(&self) {
        self.store.clear();
        self.bodies().clear();
    }

    fn bodies(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_found_by_its_name_and_by_the_end_of_its_path() {
        let testing = Testing::new();
        for (site, bodies) in [("shop::price", 2), ("shop::unit_price", 1), ("price<u8>", 1)] {
            (0..bodies).for_each(|_| testing.count_body(site));
        }
        let counts =
            ["shop::price", "price", "unit_price", "price<u8>", "rice", ""].map(|name| testing.count(name));
        assert_eq!(counts, [2, 2, 1, 1, 0, 0]);
    }
}
