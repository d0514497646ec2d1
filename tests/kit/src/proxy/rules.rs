//! The step to intercept, and the step of each request.

use std::collections::HashMap;

use super::types::{Action, Stage};
use super::wire;

/// The scripts of the library, by a word that only one of them contains.
const SCRIPTS: [(&str, &str); 7] = [
    ("'MISS'", "DESCRIBE"),
    ("'BUSY'", "ACQUIRE"),
    ("'RENEWED'", "RENEW"),
    ("'PUBLISHED'", "PUBLISH"),
    ("'RELEASED'", "RELEASE"),
    ("'ABORTED'", "ABORT"),
    ("'DELETED'", "DELETE"),
];

#[derive(Debug, Default)]
pub(crate) struct Rules {
    pattern: Option<(String, Stage, Action)>,
    matched: bool,
    /// How often the pattern still matches.
    times: usize,
    /// The steps of the scripts, by SHA-1.
    scripts: HashMap<String, &'static str>,
    counts: HashMap<String, usize>,
    last: HashMap<String, Vec<u8>>,
}

impl Rules {
    pub(crate) fn intercept(&mut self, step: &str, stage: Stage, action: Action, times: usize) {
        self.pattern = Some((step.into(), stage, action));
        (self.matched, self.times) = (false, times);
    }

    pub(crate) fn clear(&mut self) {
        self.pattern = None;
    }

    pub(crate) fn is_matched(&self) -> bool {
        self.matched
    }

    /// Whether the intercepted step is still held.
    pub(crate) fn holds(&self) -> bool {
        self.matched && self.pattern.is_some()
    }

    pub(crate) fn requests(&self, step: &str) -> usize {
        self.counts.get(step).copied().unwrap_or(0)
    }

    pub(crate) fn last_request(&self, step: &str) -> Option<Vec<u8>> {
        self.last.get(step).cloned()
    }

    /// Returns the step of this request, and counts it.
    pub(crate) fn step(&mut self, request: &[u8]) -> String {
        let words = wire::words(request);
        let word = |at: usize| String::from_utf8_lossy(words.get(at).unwrap_or(&&b""[..]));
        let name = wire::name(request);
        let step = match name.as_str() {
            "EVALSHA" => self.scripts.get(&*word(1)).map(|step| (*step).to_owned()),
            "EVAL" => script(&word(1)).map(str::to_owned),
            "SCRIPT" => script(&word(2)).map(|step| format!("LOAD {step}")),
            _ => None,
        };
        let step = step.unwrap_or(name);
        *self.counts.entry(step.clone()).or_default() += 1;
        self.last.insert(step.clone(), request.to_vec());
        step
    }

    /// Learns the hash of a script from the reply to SCRIPT LOAD.
    pub(crate) fn learn(&mut self, step: &str, reply: &[u8]) {
        let loaded = SCRIPTS
            .iter()
            .find(|(_, name)| step.strip_prefix("LOAD ") == Some(name));
        if let Some((_, name)) = loaded {
            let hash = String::from_utf8_lossy(reply).lines().nth(1).map(str::to_owned);
            self.scripts.extend(hash.map(|hash| (hash, *name)));
        }
    }

    /// Returns the action for this step if it matches. Only its first occurrences match.
    pub(crate) fn apply(&mut self, step: &str, stage: Stage) -> Option<Action> {
        let (name, wanted, action) = self.pattern.as_ref()?;
        if self.times == 0 || name != step || *wanted != stage {
            return None;
        }
        self.times -= 1;
        self.matched = true;
        Some(*action)
    }
}

fn script(text: &str) -> Option<&'static str> {
    let (_, name) = SCRIPTS.iter().find(|(word, _)| text.contains(word))?;
    Some(name)
}
