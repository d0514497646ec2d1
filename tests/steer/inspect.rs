//! Entries are listed, described and deleted by their names.

use std::collections::BTreeSet;
use std::time::Duration;

use dspinlock::{Answer, DSpinlockBase, Entry, HashDSpinlock, KeyInfo, Pool, Status};

use crate::stores::Backend;

struct Custom(String, Pool);

impl DSpinlockBase for Custom {
    fn key(&self) -> String {
        self.0.clone()
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.1.clone())
    }
}

async fn listed(pool: &Pool, prefix: &str) -> Vec<KeyInfo> {
    let mut keys = pool.keys().prefix(prefix);
    let mut all = Vec::new();
    while let Some(part) = keys.next().await.expect("a part") {
        assert!(part.len() <= 32, "{}", part.len());
        all.extend(part);
    }
    all
}

fn priced(pool: &Pool, prefix: &'static str, id: u64) -> Entry<u64> {
    Entry::of::<u64>("price").part(&id).prefix(prefix).pool(pool)
}

#[tokio::test]
async fn every_entry_of_a_prefix_is_listed_once_and_no_other_one() {
    for (prefix, backend) in ["listed-r", "listed-c", "listed-e"]
        .into_iter()
        .zip(Backend::all())
    {
        let pool = backend.pool("listed");
        {
            for id in 0..700 {
                priced(&pool, prefix, id).prime(&id).await.expect("primed");
            }
            // The prefix is no pattern, and no beginning of another one.
            priced(&pool, "listed-?", 1).prime(&1).await.expect("primed");
            priced(&pool, "listed", 1).prime(&1).await.expect("primed");
            let all = listed(&pool, prefix).await;
            let names: BTreeSet<&str> = all.iter().map(|key| &*key.name).collect();
            assert_eq!(names.len(), 700, "{backend:?}");
            assert_eq!(all.len(), 700, "{backend:?}: no key twice");
            assert!(names.iter().all(|name| name.starts_with(&format!("{prefix},a"))));
            assert_eq!(listed(&pool, "listed-?").await.len(), 1, "{backend:?}");
            for key in &all {
                let Status::Computed {
                    by: Some(by),
                    remaining,
                    ..
                } = &key.status
                else {
                    panic!("{key:?}")
                };
                assert_eq!(by.site(), "price");
                assert!(remaining.is_some() && key.fence.is_some(), "{key:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_name_describes_and_deletes_its_entry() {
    for (prefix, backend) in ["named-r", "named-c", "named-e"].into_iter().zip(Backend::all()) {
        let pool = backend.pool("named");
        {
            let lock = HashDSpinlock::new("report").prefix(prefix).pool(&pool);
            let dspinlock::Acquired::Locked(lease) = lock.acquire().await.expect("acquired") else {
                panic!("computed")
            };
            let custom = Custom(format!("{prefix}:report"), pool.clone());
            let held = custom.acquire().await.expect("acquired");
            let all = listed(&pool, prefix).await;
            let [key] = &*all else {
                panic!("{backend:?}: {all:?}")
            };
            assert!(
                matches!(&key.status, Status::Held { holder: Some(_), .. }),
                "{key:?}"
            );
            assert_eq!(key.fence, Some(lease.fence()), "{backend:?}");
            let same = pool.key_info(&key.name).await.expect("described");
            assert_eq!((same.name, same.fence), (key.name.clone(), key.fence));
            let of_custom = pool
                .key_info(&format!("{prefix}:report"))
                .await
                .expect("described");
            assert!(matches!(of_custom.status, Status::Held { .. }), "{of_custom:?}");
            drop(held);
            assert!(pool.delete_key(&key.name).await.expect("deleted"));
            assert!(!pool.delete_key(&key.name).await.expect("asked"));
            let free = pool.key_info(&key.name).await.expect("described");
            assert_eq!((free.status, free.fence), (Status::Free, None), "{backend:?}");
            assert!(
                lease.release().await.is_err(),
                "{backend:?}: the holder has lost its lease"
            );
            assert!(pool.key_info("a{b}c").await.is_err(), "no key has such a name");
        }
    }
}

#[tokio::test]
async fn an_entry_that_has_expired_is_not_listed() {
    for (prefix, backend) in ["gone-r", "gone-c", "gone-e"].into_iter().zip(Backend::all()) {
        let pool = backend.pool("gone");
        {
            let short = priced(&pool, prefix, 1).ttl(Duration::from_millis(20));
            short.prime(&1).await.expect("primed");
            priced(&pool, prefix, 2).prime(&2).await.expect("primed");
            while short.peek().await.expect("asked").is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(listed(&pool, prefix).await.len(), 1, "{backend:?}");
        }
    }
}

#[tokio::test]
async fn an_operator_sends_commands_to_each_server() {
    let masters = |backend: &Backend| match backend {
        Backend::Redis(_) => 1,
        Backend::Cluster(_) => 3,
        Backend::Embedded => 0,
    };
    for backend in Backend::all() {
        let pool = backend.pool("servers");
        {
            let servers = pool.servers().await.expect("the servers");
            assert_eq!(servers.len(), masters(&backend), "{backend:?}");
            let mut processes = BTreeSet::new();
            for server in &servers {
                let Ok(Answer::Text(info)) = server.command(&["INFO", "server"]).await else {
                    panic!("{}", server.address())
                };
                let id = info
                    .lines()
                    .find(|line| line.starts_with("process_id"))
                    .expect("an id");
                processes.insert(id.to_owned());
                let empty = server.command(&[]).await.expect_err("refused");
                assert!(empty.to_string().contains("empty command"), "{empty}");
                let refused = server
                    .command(&["NO-SUCH-COMMAND", "secret"])
                    .await
                    .expect_err("refused");
                assert!(!refused.to_string().contains("secret"), "{refused}");
            }
            assert_eq!(
                processes.len(),
                masters(&backend),
                "{backend:?}: each server once"
            );
        }
    }
}
