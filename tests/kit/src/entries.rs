//! The entries of dspinlock in a server, as a person finds them.
//!
//! Only this file knows how the names of states differ from the names of values.

use crate::Redis;

impl Redis {
    /// The names of all states, sorted.
    pub fn state_names(&self) -> Vec<String> {
        let mut names = self.keys();
        names.retain(|name| !is_value(name));
        names
    }

    /// The name of the only state.
    ///
    /// # Panics
    ///
    /// Panics if there is not exactly one.
    pub fn only_state_name(&self) -> String {
        only(self.state_names())
    }

    /// The texts of all states, in the order of their names.
    pub fn states(&self) -> Vec<String> {
        let names = self.state_names();
        names.iter().filter_map(|name| self.get(name)).collect()
    }

    /// The name of the only value.
    ///
    /// # Panics
    ///
    /// Panics if there is not exactly one.
    pub fn only_value_name(&self) -> String {
        let mut names = self.keys();
        names.retain(|name| is_value(name));
        only(names)
    }

    /// Removes every key, one after the other. `FLUSHALL` would be pushed to every connection.
    pub fn unlink_all(&self) {
        for key in self.keys() {
            self.raw(&["UNLINK", &key]);
        }
    }
}

pub(crate) fn is_value(name: &str) -> bool {
    name.starts_with('{')
}

fn only(mut names: Vec<String>) -> String {
    assert_eq!(names.len(), 1, "{names:?}");
    names.remove(0)
}
