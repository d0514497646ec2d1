//! The entries of dspinlock in a server, as a person finds them.

use crate::Redis;

impl Redis {
    /// The name of the only entry.
    ///
    /// # Panics
    ///
    /// Panics if there is not exactly one.
    pub fn only_name(&self) -> String {
        let mut names = self.keys();
        assert_eq!(names.len(), 1, "{names:?}");
        names.remove(0)
    }

    /// The entries of the single encoding that begin with this letter: `B`, `V` or `M`.
    pub fn entries(&self, kind: char) -> Vec<Vec<u8>> {
        let entries = self.keys().into_iter().filter_map(|name| self.bytes(&name));
        entries
            .filter(|entry| entry.first() == Some(&(kind as u8)))
            .collect()
    }

    /// Removes every key, one after the other. `FLUSHALL` would be pushed to every connection.
    pub fn unlink_all(&self) {
        for key in self.keys() {
            self.raw(&["UNLINK", &key]);
        }
    }
}
