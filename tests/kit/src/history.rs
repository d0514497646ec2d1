//! What a journal tells, and what must be true of it whatever was broken meanwhile.
//!
//! A worker notes, in this order (the tag is its process and the number of its call):
//!
//! ```text
//! <µs> call <tag> <key> <longest wait in ms>      a caller asks
//! <µs> begin <tag> <key> <fence>                  its body runs
//! <µs> end <tag> <key> <fence> <lost?> <value>    it has ended, with its lease or without
//! <µs> out <tag> <key> ok <value>                 what the caller got; `err <name>` for an error
//! <µs> delete <tag> <key>, <µs> deleted <tag> <key>   a delete is sent, and acknowledged
//! ```

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::Journal;

/// By how much a caller may outlast its wait.
const GRACE: Duration = Duration::from_secs(1);

/// All that happened, in the order in which it was noted.
#[derive(Debug, Default)]
pub struct History {
    events: Vec<Event>,
    /// Processes that were killed: their calls have no end.
    killed: HashSet<u32>,
    /// Processes that were stopped for a while: their clocks prove nothing.
    paused: HashSet<u32>,
    /// Locks were taken away from outside.
    robbed: bool,
}

/// One line.
#[derive(Debug)]
struct Event {
    at: Duration,
    kind: String,
    tag: String,
    key: String,
    rest: Vec<String>,
}

/// One run of a body: its fence, its call, when it began and ended, and how.
#[derive(Debug, Clone)]
pub struct Body {
    /// Under which it ran.
    pub fence: u64,
    /// `<process>-<call>`.
    pub tag: String,
    /// What it was locked by.
    pub key: String,
    /// When it began.
    pub start: Duration,
    /// When it ended; `None` where it was killed or dropped.
    pub end: Option<Duration>,
    /// Whether it knew at its end that its lease was lost.
    pub lost: bool,
    /// What it computed.
    pub value: Option<String>,
    /// Its lines' numbers: the order of things.
    begin_line: usize,
    end_line: usize,
}

impl History {
    /// What the journal tells by now.
    ///
    /// # Panics
    ///
    /// Where a line is none of the above: a torn one, that is.
    pub fn of(journal: &Journal) -> Self {
        Self {
            events: journal.lines().iter().map(|line| Event::parse(line)).collect(),
            ..Self::default()
        }
    }

    /// These processes were killed.
    #[must_use]
    pub fn killed(mut self, processes: &[u32]) -> Self {
        self.killed.extend(processes);
        self
    }

    /// These processes were stopped for a while and then went on.
    #[must_use]
    pub fn paused(mut self, processes: &[u32]) -> Self {
        self.paused.extend(processes);
        self
    }

    /// Locks were taken away from outside: a grant may have been gone before its body began, after the next one's.
    #[must_use]
    pub fn robbed(mut self) -> Self {
        self.robbed = true;
        self
    }

    /// How many calls there were, bodies that ran, and results that came from another's body.
    pub fn counts(&self) -> [usize; 3] {
        let bodies = self.bodies();
        let calls = self.events.iter().filter(|event| event.kind == "call");
        [calls.count(), bodies.len(), self.hits(&bodies).len()]
    }

    /// Whether every call has ended that can.
    pub fn is_complete(&self) -> bool {
        let mut calls = self.events.iter().filter(|event| event.kind == "call");
        calls.all(|call| self.is_killed(&call.tag) || self.find("out", &call.tag).is_some())
    }

    /// What must be true under every fault: fences grow, a fence is published at most once, no caller is handed what is
    /// older than the last delete or than what another was handed before it asked, and every caller comes to an end in
    /// time.
    pub fn check(&self) {
        assert!(!self.events.is_empty(), "the journal is empty");
        self.fences_grow();
        self.one_publish_per_fence();
        self.no_stale_hit();
        self.hits_do_not_go_back();
        self.all_end_in_time();
    }

    /// Bodies of one key never overlap, unless the lease of the earlier one was lost, and it knew, or its process was
    /// killed, or the key was deleted meanwhile.
    pub fn check_exclusion(&self) {
        let bodies = self.bodies();
        for (at, first) in bodies.iter().enumerate() {
            for second in bodies[at + 1..].iter().filter(|body| body.key == first.key) {
                let apart = first.end_line < second.begin_line || second.end_line < first.begin_line;
                let deleted = self.events[first.begin_line..second.begin_line]
                    .iter()
                    .any(|event| event.kind == "delete" && event.key == first.key);
                let excused = first.lost || deleted || self.is_killed(&first.tag);
                assert!(apart || excused, "two bodies at once: {first:?} and {second:?}");
            }
        }
    }

    /// Every run of a body, in the order of their beginning.
    pub fn bodies(&self) -> Vec<Body> {
        let mut bodies: Vec<Body> = Vec::new();
        for (line, event) in self.events.iter().enumerate() {
            let of_call = |body: &&mut Body| body.tag == event.tag && body.end_line == usize::MAX;
            match event.kind.as_str() {
                "begin" => bodies.push(event.body(line)),
                "end" => {
                    let body = bodies.iter_mut().rev().find(of_call).expect("it began");
                    (body.end, body.end_line) = (Some(event.at), line);
                    body.lost = event.rest[1] == "lost";
                    body.value = event.rest.get(2).cloned();
                }
                // A body that panicked or was dropped has no end of its own.
                "out" => bodies
                    .iter_mut()
                    .filter(of_call)
                    .for_each(|body| body.end_line = line),
                _ => {}
            }
        }
        bodies
    }

    /// Of one key, in the order in which bodies begin. A process that was stopped may begin long after its grant.
    fn fences_grow(&self) {
        let (mut last, mut seen) = (HashMap::new(), HashSet::new());
        for body in self.bodies() {
            assert!(
                seen.insert((body.key.clone(), body.fence)),
                "a fence twice: {body:?}"
            );
            if !self.robbed && !self.paused.contains(&process(&body.tag)) {
                let before = last.insert(body.key.clone(), body.fence);
                assert!(
                    before < Some(body.fence),
                    "after the fence {before:?} comes {body:?}"
                );
            }
        }
    }

    /// Whatever is handed from one caller to another was computed by one body, which still had its lease at its end.
    fn one_publish_per_fence(&self) {
        let bodies = self.bodies();
        let mut published = HashMap::new();
        for (line, event) in self.hits(&bodies) {
            let value = &event.rest[1];
            let source = bodies
                .iter()
                .find(|body| body.key == event.key && body.value.as_ref() == Some(value))
                .unwrap_or_else(|| panic!("nobody computed what was handed out: {event:?}"));
            assert!(
                source.end_line < line,
                "handed out before it was there: {event:?}"
            );
            assert!(!source.lost, "handed out, though the lease was lost: {source:?}");
            let first = published.entry((&event.key, source.fence)).or_insert(value);
            assert_eq!(*first, value, "two values under one fence: {event:?}");
        }
    }

    /// A caller that asked after a delete was acknowledged is handed nothing that was begun before it was sent.
    fn no_stale_hit(&self) {
        let bodies = self.bodies();
        for (_, event) in self.hits(&bodies) {
            let asked = self.asked(event).0;
            let Some(sent) = self.last_delete(&event.key, asked) else {
                continue;
            };
            let source = bodies
                .iter()
                .find(|body| body.key == event.key && body.value.as_ref() == Some(&event.rest[1]));
            let source = source.expect("checked before");
            assert!(
                source.begin_line > sent,
                "older than the delete in line {sent}: {event:?}"
            );
        }
    }

    /// Who asks after another was handed a result is handed none under a lower fence. A push needs its time to a near
    /// cache; those keys are left out.
    fn hits_do_not_go_back(&self) {
        let bodies = self.bodies();
        let mut handed: HashMap<&str, Vec<(usize, u64)>> = HashMap::new();
        for (line, event) in self.hits(&bodies) {
            if event.key.starts_with("near") {
                continue;
            }
            let source = |body: &&Body| body.key == event.key && body.value.as_ref() == Some(&event.rest[1]);
            let fence = bodies.iter().find(source).expect("checked before").fence;
            let (asked, before) = (self.asked(event).0, handed.entry(&event.key).or_default());
            let newer = before
                .iter()
                .find(|(line, other)| *line < asked && *other > fence);
            assert_eq!(newer, None, "older than what was handed out before: {event:?}");
            before.push((line, fence));
        }
    }

    /// Within the wait and a second, without the time in its own body.
    fn all_end_in_time(&self) {
        let bodies = self.bodies();
        for event in self.events.iter().filter(|event| event.kind == "call") {
            if self.is_killed(&event.tag) || self.paused.contains(&process(&event.tag)) {
                continue;
            }
            let out = self.find("out", &event.tag);
            let out = out.unwrap_or_else(|| panic!("a caller that never ends: {event:?}"));
            let own = bodies.iter().filter(|body| body.tag == event.tag);
            let own: Duration = own
                .map(|body| body.end.unwrap_or(out.at).saturating_sub(body.start))
                .sum();
            let wait = Duration::from_millis(event.rest[0].parse().expect("milliseconds"));
            let took = (out.at - event.at).saturating_sub(own);
            assert!(
                took <= wait + GRACE,
                "waited for {took:?} in the place of {wait:?}: {event:?}"
            );
        }
    }

    /// Results that came from another's body, and their lines.
    fn hits<'a>(&'a self, bodies: &[Body]) -> Vec<(usize, &'a Event)> {
        let deletes = self.events.iter().filter(|event| event.kind == "delete");
        let bodies = bodies.iter().map(|body| body.tag.as_str());
        let own: HashSet<&str> = bodies.chain(deletes.map(|event| event.tag.as_str())).collect();
        let lines = self.events.iter().enumerate();
        lines
            .filter(|(_, event)| event.kind == "out" && event.rest[0] == "ok")
            .filter(|(_, event)| !own.contains(event.tag.as_str()))
            .collect()
    }

    /// The line of the last delete that was acknowledged before `line`: the one in which it was sent.
    fn last_delete(&self, key: &str, line: usize) -> Option<usize> {
        let of = |kind: &'static str| move |event: &Event| event.kind == kind && event.key == key;
        let deleted = self.events[..line].iter().rfind(|event| of("deleted")(event))?;
        self.events[..line]
            .iter()
            .rposition(|event| of("delete")(event) && event.tag == deleted.tag)
    }

    fn asked(&self, out: &Event) -> (usize, &Event) {
        let mut lines = self.events.iter().enumerate();
        lines
            .find(|(_, event)| event.kind == "call" && event.tag == out.tag)
            .expect("who got something has asked for it")
    }

    fn find(&self, kind: &str, tag: &str) -> Option<&Event> {
        self.events
            .iter()
            .find(|event| event.kind == kind && event.tag == tag)
    }

    fn is_killed(&self, tag: &str) -> bool {
        self.killed.contains(&process(tag))
    }
}

impl Event {
    fn parse(line: &str) -> Self {
        let mut words = line.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_else(|| panic!("a torn line: {line:?}"));
        let at = next().parse().unwrap_or_else(|_| panic!("no time in {line:?}"));
        let (kind, tag, key) = (next(), next(), next());
        Self {
            at: Duration::from_micros(at),
            kind,
            tag,
            key,
            rest: words.collect(),
        }
    }

    fn body(&self, line: usize) -> Body {
        Body {
            fence: self.rest[0].parse().expect("a fence"),
            tag: self.tag.clone(),
            key: self.key.clone(),
            start: self.at,
            end: None,
            lost: false,
            value: None,
            begin_line: line,
            end_line: usize::MAX,
        }
    }
}

fn process(tag: &str) -> u32 {
    let (process, _) = tag.split_once('-').expect("`<process>-<call>`");
    process.parse().expect("a process")
}

#[cfg(test)]
mod tests;
