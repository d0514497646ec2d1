//! The fixtures of `docs/wire-format.md` are the entries that the protocol writes.

use dspinlock_runtime::internals::key::{Format, Key};
use dspinlock_runtime::internals::protocol::header::{Flag, Origin};
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::tag::Tag;
use dspinlock_runtime::internals::protocol::{Acquire, Publish, Reply, Request, apply};

const PAGE: &str = include_str!("../../docs/wire-format.md");

/// The server's clock, in microseconds since 1970.
const NOW: u64 = 1_795_416_240_000_007;

#[test]
fn the_fixtures_of_the_page_are_what_the_protocol_writes() {
    let block = PAGE.split("```fixtures\n").nth(1).expect("the page has fixtures");
    let block = block.split("```").next().expect("the end of the fixtures");
    let mut written = String::new();
    for (format, title) in [(Format::Single, "single"), (Format::Shared, "shared")] {
        let digest = std::array::from_fn(|at| at as u8);
        let key = Key::new(format, "dspinlock".into(), digest);
        let mut line = |name: &str, text: &str| {
            let title = format!("{title} {name}");
            written += &format!("{title:<15}  {}\n", text.replace('\n', "\\n"));
        };
        line("name", &key.name());
        let (held, reply) = apply(&key, &Entry::Absent, NOW, &acquire());
        line("held", &text(held.as_ref()));
        let Reply::Acquired(id) = reply else {
            panic!("{reply:?}")
        };
        let held = held.expect("a grant writes");
        let mut computed = |name, payload: Option<&'static str>| {
            let publish = Request::Publish(Publish {
                id,
                ttl: 60_000,
                took: 250,
                payload: payload.map(Into::into),
                flag: Flag::Value,
                signature: None,
                origin: origin(),
            });
            line(
                name,
                &text(apply(&key, &held, NOW + 1_000_000, &publish).0.as_ref()),
            );
        };
        match format {
            Format::Single => {
                computed("value", Some("payload"));
                computed("mark", None);
            }
            Format::Shared => computed("computed", None),
        }
    }
    assert_eq!(written, block);
}

fn acquire() -> Request {
    Request::Acquire(Acquire {
        tag: Tag::parse(b"AAECAwQFBgcICQoL").expect("a tag"),
        lease: 15_000,
        max_block: 60_000,
        cached: true,
        fail_if_key_exists: false,
        seize: false,
        refuse: None,
        stale: None,
        origin: origin(),
        bound: 1000,
    })
}

fn origin() -> Origin {
    Origin::new(4711, "web-1", "shop::price<A, B>")
}

fn text(entry: Option<&Entry>) -> String {
    match entry {
        Some(Entry::Bytes { bytes, .. }) => String::from_utf8(bytes.to_vec()).expect("text"),
        other => panic!("{other:?}"),
    }
}
