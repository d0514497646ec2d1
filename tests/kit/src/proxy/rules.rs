//! Which step is looked out for, and which step a request is.

use std::collections::HashMap;

use super::{At, Fate, wire};

/// The scripts of the library, by a word that only one of them says.
const SCRIPTS: [(&str, &str); 5] = [
    ("'ACQUIRED'", "ACQUIRE"),
    ("'RENEWED'", "RENEW"),
    ("'PUBLISHED'", "PUBLISH"),
    ("'ABORTED'", "ABORT"),
    ("'DELETED'", "DELETE"),
];

#[derive(Debug, Default)]
pub(super) struct Rules {
    looked_out_for: Option<(String, At, Fate)>,
    met: bool,
    /// By the SHA-1 under which the server knows it.
    scripts: HashMap<String, &'static str>,
    asked: HashMap<String, usize>,
    last: HashMap<String, Vec<u8>>,
}

impl Rules {
    pub(super) fn look_out(&mut self, step: &str, at: At, fate: Fate) {
        self.looked_out_for = Some((step.into(), at, fate));
        self.met = false;
    }

    pub(super) fn forget(&mut self) {
        self.looked_out_for = None;
    }

    pub(super) fn is_met(&self) -> bool {
        self.met
    }

    /// Whether what was met is still to be kept back.
    pub(super) fn holds(&self) -> bool {
        self.met && self.looked_out_for.is_some()
    }

    pub(super) fn asked(&self, step: &str) -> usize {
        self.asked.get(step).copied().unwrap_or(0)
    }

    pub(super) fn request(&self, step: &str) -> Option<Vec<u8>> {
        self.last.get(step).cloned()
    }

    /// Which step this request is.
    pub(super) fn step(&mut self, request: &[u8]) -> String {
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
        *self.asked.entry(step.clone()).or_default() += 1;
        self.last.insert(step.clone(), request.to_vec());
        step
    }

    /// The server's answer to the loading of a script is its hash.
    pub(super) fn learn(&mut self, step: &str, reply: &[u8]) {
        let loaded = SCRIPTS
            .iter()
            .find(|(_, name)| step.strip_prefix("LOAD ") == Some(name));
        if let Some((_, name)) = loaded {
            let hash = String::from_utf8_lossy(reply).lines().nth(1).map(str::to_owned);
            self.scripts.extend(hash.map(|hash| (hash, *name)));
        }
    }

    /// What becomes of this step; from then on it is looked out for no more, unless it is held.
    pub(super) fn meet(&mut self, step: &str, at: At) -> Option<Fate> {
        let (name, place, fate) = self.looked_out_for.as_ref()?;
        if self.met || name != step || *place != at {
            return None;
        }
        self.met = true;
        Some(*fate)
    }
}

fn script(text: &str) -> Option<&'static str> {
    let (_, name) = SCRIPTS.iter().find(|(word, _)| text.contains(word))?;
    Some(name)
}
