//! The events of a journal, and the invariants that hold under every fault.
//!
//! A worker appends these lines, in this order. The tag is its process id and the number of the call:
//!
//! ```text
//! <µs> call <tag> <key> <longest wait in ms> <ttl in ms>   a call begins
//! <µs> begin <tag> <key> <fence>                           its body begins
//! <µs> end <tag> <key> <fence> <lost?> <value>             its body returns; `lost` if the lease was lost
//! <µs> out <tag> <key> ok <value>                          the call returns; `err <name>` for an error
//! <µs> delete <tag> <key>, <µs> deleted <tag> <key>        a delete is sent, and acknowledged
//! <µs> wipe <tag> *, <µs> wiped <tag> *                    the test removes any entries between these lines
//! ```
//!
//! A hit on a shared key, which keeps no value, returns `ok computed`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::Journal;

/// How much longer than its `wait` a call may take.
const GRACE: Duration = Duration::from_secs(1);

/// All events, in the order of the journal.
#[derive(Debug, Default)]
pub struct History {
    events: Vec<Event>,
    /// Processes that were killed: their calls never return.
    killed: HashSet<u32>,
    /// Processes that were paused: their times prove nothing.
    paused: HashSet<u32>,
    /// Entries were deleted or overwritten by the test.
    external_writes: bool,
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

/// One run of a body.
#[derive(Debug, Clone)]
pub struct Body {
    /// The fence of its lease.
    pub fence: u64,
    /// `<process>-<call>`.
    pub tag: String,
    /// The key of its lock.
    pub key: String,
    /// When it began.
    pub start: Duration,
    /// When it returned; `None` if it was killed, dropped or panicked.
    pub end: Option<Duration>,
    /// Whether its lease was lost when it returned.
    pub lost: bool,
    /// The value it returned.
    pub value: Option<String>,
    /// The line numbers of its begin and end; they give the order.
    begin_line: usize,
    end_line: usize,
}

impl History {
    /// Parses the journal as it is now.
    ///
    /// # Panics
    ///
    /// Panics if a line is malformed.
    pub fn of(journal: &Journal) -> Self {
        Self {
            events: journal.lines().iter().map(|line| Event::parse(line)).collect(),
            ..Self::default()
        }
    }

    /// Declares that these processes were killed.
    #[must_use]
    pub fn killed(mut self, processes: &[u32]) -> Self {
        self.killed.extend(processes);
        self
    }

    /// Declares that these processes were paused and resumed.
    #[must_use]
    pub fn paused(mut self, processes: &[u32]) -> Self {
        self.paused.extend(processes);
        self
    }

    /// Declares that the test deleted or overwrote entries. A body may then begin after the body of a later grant.
    #[must_use]
    pub fn with_external_writes(mut self) -> Self {
        self.external_writes = true;
        self
    }

    /// Returns the numbers of calls, of bodies, and of hits.
    pub fn counts(&self) -> [usize; 3] {
        let bodies = self.bodies();
        let calls = self.events.iter().filter(|event| event.kind == "call");
        [calls.count(), bodies.len(), self.hits(&bodies).len()]
    }

    /// Whether every call of a living process has returned.
    pub fn is_complete(&self) -> bool {
        let mut calls = self.events.iter().filter(|event| event.kind == "call");
        calls.all(|call| self.is_killed(&call.tag) || self.find("out", &call.tag).is_some())
    }

    /// Checks the invariants that hold under every fault.
    ///
    /// Fences grow. A fence is published at most once. No call returns a value that is older than the last delete, or
    /// older than a value returned before the call began. No body runs while its key is computed. Every call returns in
    /// time.
    pub fn check(&self) {
        assert!(!self.events.is_empty(), "the journal is empty");
        self.fences_grow();
        self.one_publish_per_fence();
        self.no_stale_hit();
        self.hits_do_not_go_back();
        self.no_body_while_computed();
        self.all_return_in_time();
    }

    /// Checks that bodies of one key never overlap. Returns how many pairs were compared.
    ///
    /// An overlap is allowed if the body with the lower fence knew that its lease was lost, if its process was killed, if its
    /// call failed or was dropped, or if the entry may have been removed between its call and the later begin.
    pub fn check_exclusion(&self) -> usize {
        let bodies = self.bodies();
        let mut pairs = 0;
        for (at, one) in bodies.iter().enumerate() {
            for other in bodies[at + 1..].iter().filter(|body| body.key == one.key) {
                pairs += 1;
                if one.end_line < other.begin_line || other.end_line < one.begin_line {
                    continue;
                }
                let [first, second] = match one.fence < other.fence {
                    true => [one, other],
                    false => [other, one],
                };
                let is_over = first.end.is_none() && first.end_line != usize::MAX;
                let excused = first.lost || is_over || self.is_killed(&first.tag);
                let last = first.begin_line.max(second.begin_line);
                assert!(
                    excused || self.may_be_removed(&first.key, self.line_of_call(&first.tag), last),
                    "two bodies overlap: {first:?} and {second:?}"
                );
            }
        }
        pairs
    }

    fn line_of_call(&self, tag: &str) -> usize {
        let call = |event: &Event| event.kind == "call" && event.tag == tag;
        self.events.iter().position(call).unwrap_or(0)
    }

    /// Returns all bodies, in the order of their begins.
    pub fn bodies(&self) -> Vec<Body> {
        let mut bodies: Vec<Body> = Vec::new();
        for (line, event) in self.events.iter().enumerate() {
            let of_call = |body: &&mut Body| body.tag == event.tag && body.end_line == usize::MAX;
            match event.kind.as_str() {
                "begin" => bodies.push(event.body(line)),
                "end" => {
                    let body = bodies
                        .iter_mut()
                        .rev()
                        .find(of_call)
                        .expect("a body that ends has begun");
                    (body.end, body.end_line) = (Some(event.at), line);
                    body.lost = event.rest[1] == "lost";
                    body.value = event.rest.get(2).cloned();
                }
                // A body that panicked or was dropped has no `end` line.
                "out" => bodies
                    .iter_mut()
                    .filter(of_call)
                    .for_each(|body| body.end_line = line),
                _ => {}
            }
        }
        bodies
    }

    /// Checks per key, in the order of begins. A paused process may begin a body long after its grant.
    fn fences_grow(&self) {
        let (mut last, mut seen) = (HashMap::new(), HashSet::new());
        for body in self.bodies() {
            assert!(
                seen.insert((body.key.clone(), body.fence)),
                "a fence was granted twice: {body:?}"
            );
            if !self.external_writes && !self.paused.contains(&process(&body.tag)) {
                let before = last.insert(body.key.clone(), body.fence);
                assert!(
                    before < Some(body.fence),
                    "the fence does not grow after {before:?}: {body:?}"
                );
            }
        }
    }

    /// Every hit was computed by one body, which held its lease when it returned.
    fn one_publish_per_fence(&self) {
        let bodies = self.bodies();
        let mut published = HashMap::new();
        for (line, event) in self.hits(&bodies) {
            for source in self.sources(&bodies, line, event) {
                assert!(
                    source.end_line < line,
                    "a hit before the body returned: {event:?}"
                );
                assert!(
                    !source.lost,
                    "a value was published after the lease was lost: {source:?}"
                );
                let first = published
                    .entry((&event.key, source.fence))
                    .or_insert(&source.value);
                assert_eq!(
                    *first, &source.value,
                    "two values were published under one fence: {event:?}"
                );
            }
        }
    }

    /// A call that begins after a delete was acknowledged returns no value of a body that began before the delete was sent.
    fn no_stale_hit(&self) {
        let bodies = self.bodies();
        for (line, event) in self.hits(&bodies) {
            let Some(sent) = self.last_delete(&event.key, self.call_of(event).0) else {
                continue;
            };
            let sources = self.sources(&bodies, line, event);
            assert!(
                sources.iter().any(|source| source.begin_line > sent),
                "the value is older than the delete in line {sent}: {event:?}"
            );
        }
    }

    /// A call that begins after another call returned a value returns none with a lower fence. Keys with a near cache are
    /// not checked, because a push takes time.
    fn hits_do_not_go_back(&self) {
        let bodies = self.bodies();
        let mut returned: HashMap<&str, Vec<(usize, u64)>> = HashMap::new();
        for (line, event) in self.hits(&bodies) {
            if event.key.starts_with("near") {
                continue;
            }
            let sources = self.sources(&bodies, line, event);
            let called = self.call_of(event).0;
            let before = returned.entry(&event.key).or_default();
            let earlier = before.iter().filter(|(line, _)| *line < called);
            let newest = earlier.map(|(_, fence)| *fence).max().unwrap_or(0);
            // The lowest fence that is possible.
            let fences = sources.iter().map(|source| source.fence);
            let fence = fences.filter(|fence| *fence >= newest).min();
            let fence =
                fence.unwrap_or_else(|| panic!("the value is older than one returned before: {event:?}"));
            before.push((line, fence));
        }
    }

    /// While a key is computed, no body of it begins. A hit proves that its body was published. The result then lasts for
    /// its ttl, unless it is deleted or the test removes entries.
    fn no_body_while_computed(&self) {
        let bodies = self.bodies();
        for (line, event) in self.hits(&bodies) {
            let [source] = self.sources(&bodies, line, event)[..] else {
                continue;
            };
            let call = self.find("call", &source.tag).expect("a body belongs to a call");
            let ttl = Duration::from_millis(call.rest[1].parse().expect("milliseconds"));
            let expires = source.end.expect("the body has returned") + ttl;
            let again = bodies.iter().find(|body| {
                let is_later = body.key == source.key && body.fence > source.fence && body.start < expires;
                is_later && !self.may_be_removed(&body.key, source.end_line, body.begin_line)
            });
            assert!(
                again.is_none(),
                "a body ran while its key was computed: {source:?} and {again:?}"
            );
        }
    }

    /// The bodies that may have computed the value of a hit in this line. A value names its body. A hit on a shared key may
    /// come from every body that held its lease, unless another body had taken its place before the call began.
    fn sources<'a>(&self, bodies: &'a [Body], line: usize, hit: &Event) -> Vec<&'a Body> {
        let of_key = bodies.iter().filter(|body| body.key == hit.key);
        let sources: Vec<_> = if hit.rest[1] == "computed" {
            let called = self.call_of(hit).0;
            let begun = of_key.clone().filter(|body| body.begin_line < called);
            let newest = begun.map(|body| body.fence).max().unwrap_or(0);
            of_key
                .filter(|body| body.value.is_some() && body.end_line < line && !body.lost)
                .filter(|body| body.fence >= newest)
                .collect()
        } else {
            of_key
                .filter(|body| body.value.as_ref() == Some(&hit.rest[1]))
                .collect()
        };
        assert!(!sources.is_empty(), "no body computed the value: {hit:?}");
        sources
    }

    /// Whether an entry of this key may have been removed between these lines.
    fn may_be_removed(&self, key: &str, from: usize, to: usize) -> bool {
        let lines = self.events[..to].iter().enumerate();
        lines
            .filter(|(_, event)| event.kind == "wipe" || event.kind == "delete" && event.key == key)
            .any(|(line, sent)| {
                let end = if sent.kind == "wipe" { "wiped" } else { "deleted" };
                let done = |event: &Event| event.kind == end && event.tag == sent.tag;
                let done = self.events[line..].iter().position(done);
                done.is_none_or(|done| line + done > from)
            })
    }

    /// Every call returns within its wait plus [`GRACE`], not counting the time in its own body.
    fn all_return_in_time(&self) {
        let bodies = self.bodies();
        for event in self.events.iter().filter(|event| event.kind == "call") {
            if self.is_killed(&event.tag) || self.paused.contains(&process(&event.tag)) {
                continue;
            }
            let out = self.find("out", &event.tag);
            let out = out.unwrap_or_else(|| panic!("the call never returned: {event:?}"));
            let own = bodies.iter().filter(|body| body.tag == event.tag);
            let own: Duration = own
                .map(|body| body.end.unwrap_or(out.at).saturating_sub(body.start))
                .sum();
            let wait = Duration::from_millis(event.rest[0].parse().expect("milliseconds"));
            let elapsed = (out.at - event.at).saturating_sub(own);
            assert!(
                elapsed <= wait + GRACE,
                "the call took {elapsed:?}, its wait is {wait:?}: {event:?}"
            );
        }
    }

    /// Calls that returned a value without running a body, with their line numbers.
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

    /// The line in which the last delete was sent that was acknowledged before `line`.
    fn last_delete(&self, key: &str, line: usize) -> Option<usize> {
        let of = |kind: &'static str| move |event: &Event| event.kind == kind && event.key == key;
        let deleted = self.events[..line].iter().rfind(|event| of("deleted")(event))?;
        self.events[..line]
            .iter()
            .rposition(|event| of("delete")(event) && event.tag == deleted.tag)
    }

    fn call_of(&self, out: &Event) -> (usize, &Event) {
        let mut lines = self.events.iter().enumerate();
        lines
            .find(|(_, event)| event.kind == "call" && event.tag == out.tag)
            .expect("a result has a call")
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
        let mut next = || {
            words
                .next()
                .unwrap_or_else(|| panic!("the line is incomplete: {line:?}"))
        };
        let at = next()
            .parse()
            .unwrap_or_else(|_| panic!("the line has no time: {line:?}"));
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
            fence: self.rest[0].parse().expect("the fence is a number"),
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
    let (process, _) = tag.split_once('-').expect("a tag is `<process>-<call>`");
    process.parse().expect("the process id is a number")
}

#[cfg(test)]
mod tests;
