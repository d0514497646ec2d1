//! `doctor` finds what is wrong with a store, and changes nothing.

use std::collections::BTreeMap;

use dspinlock_testkit::{Cluster, Redis};
use serde_json::Value;

use crate::stage::{Ended, Store, file, run};

/// The findings: check, then result and message. Checks of several servers are joined.
pub(crate) fn findings(ended: &Ended) -> BTreeMap<String, Vec<(String, String)>> {
    let mut findings: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for line in ended.stdout.lines() {
        let finding: Value = serde_json::from_str(line).expect("a JSON object");
        let text = |name: &str| finding[name].as_str().expect("a text").to_owned();
        let found = (text("result"), text("message"));
        findings.entry(text("check")).or_default().push(found);
    }
    findings
}

/// The only result of a check, and its message.
pub(crate) fn of(ended: &Ended, check: &str) -> (String, String) {
    let mut findings = findings(ended);
    let mut found = findings
        .remove(check)
        .unwrap_or_else(|| panic!("no {check}: {ended:?}"));
    assert_eq!(found.len(), 1, "{ended:?}");
    found.remove(0)
}

const STEPS: [&str; 7] = [
    "acquire",
    "renew",
    "publish",
    "read",
    "delete",
    "wake-up",
    "round trip",
];
const OF_SERVERS: [&str; 9] = [
    "connection",
    "version",
    "role",
    "clock",
    "permissions",
    "CLIENT TRACKING",
    "CLIENT CACHING",
    "SCRIPT LOAD",
    "SCAN",
];

#[test]
fn every_store_is_checked_and_left_as_it_was() {
    for store in Store::all() {
        let ended = store.run(&["doctor", "--json"]);
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
        let findings = findings(&ended);
        for step in STEPS {
            let found = &findings[step];
            assert!(found.len() == 1 && found[0].0 == "ok", "{step}: {found:?}");
        }
        let servers = match &store {
            Store::Redis(_) => 1,
            Store::Cluster(_) => 3,
            Store::File(_) => 0,
        };
        let woken = &findings["wake-up"][0].1;
        assert!(!woken.contains("within 0.0"), "{woken}");
        for check in OF_SERVERS {
            let found = findings.get(check).map_or(&[][..], |found| found);
            assert_eq!(found.len(), servers, "{check}");
            assert!(
                found.iter().all(|(result, _)| result == "ok"),
                "{check}: {found:?}"
            );
        }
        if let Store::File(folder) = &store {
            assert!(
                findings["file"][0].1.contains(&file(folder.path())),
                "{findings:?}"
            );
            assert!(findings["mode"][0].1.contains("600"), "{findings:?}");
            assert!(findings["space"][0].1.contains("MiB"), "{findings:?}");
        }
        let plain = store.run(&["doctor"]);
        assert_eq!(plain.lines().len(), ended.lines().len());
        assert!(
            plain
                .lines()
                .iter()
                .any(|line| line.starts_with("ok       acquire          ")),
            "{plain:?}"
        );
        assert_eq!(
            store.run(&["ls", "--prefix", ""]).lines().len(),
            0,
            "its entries are deleted"
        );
    }
}

#[test]
fn each_hazard_has_a_finding_with_advice() {
    let with = |args: &[&str]| {
        let server = Redis::with_args(args);
        run(&server.url(), &["doctor", "--json"])
    };
    let memory = |policy| with(&["--maxmemory", "100mb", "--maxmemory-policy", policy]);
    for (ended, check, result, advice) in [
        (with(&[]), "persistence", "warn", "no snapshots"),
        (
            with(&["--save", "60 1"]),
            "persistence",
            "warn",
            "save 60 1: a crash loses the locks and results since the last snapshot",
        ),
        (
            with(&["--appendonly", "yes"]),
            "persistence",
            "ok",
            "appendonly yes",
        ),
        (memory("noeviction"), "maxmemory", "ok", "100 MiB"),
        (
            memory("allkeys-lru"),
            "maxmemory",
            "warn",
            "`maxmemory-policy noeviction`",
        ),
        (
            memory("volatile-ttl"),
            "maxmemory",
            "warn",
            "locks are evicted before",
        ),
    ] {
        let (found, message) = of(&ended, check);
        assert_eq!((ended.code, &*found), (Some(0), result), "{message}");
        assert!(message.contains(advice), "{message}");
    }
}

#[test]
fn a_replica_fails() {
    let master = Redis::start();
    let replica = Redis::start();
    replica.raw(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let ended = run(&replica.url(), &["doctor", "--json"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert_eq!(of(&ended, "role").0, "fail");
    assert_eq!(of(&ended, "acquire").0, "fail");
}

#[test]
fn a_node_of_a_cluster_fails_if_the_url_names_no_cluster() {
    let cluster = Cluster::start();
    let ended = run(&cluster.servers()[0].url(), &["doctor", "--json"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let (result, message) = of(&ended, "role");
    assert!(
        result == "fail" && message.contains("use `redis+cluster://`"),
        "{message}"
    );
}

#[test]
fn a_master_that_grants_locks_without_its_replicas_has_a_warning() {
    let master = Redis::start();
    let replica = Redis::start();
    replica.raw(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    replica.wait_synced();
    let found = || of(&run(&master.url(), &["doctor", "--json"]), "replication");
    let (result, message) = found();
    assert!(
        result == "warn" && message.contains("1 replica, min-replicas-to-write 0"),
        "{message}"
    );
    master.raw(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(found().0, "ok");
}

#[test]
fn another_clock_has_a_warning() {
    let server = Redis::valkey_at("+1h");
    let ended = run(&server.url(), &["doctor", "--json"]);
    let (result, message) = of(&ended, "clock");
    assert!(result == "warn" && message.contains("3600"), "{message}");
    assert!(of(&ended, "version").1.starts_with("Valkey 9"), "{ended:?}");
}

#[test]
fn a_server_without_pushes_has_a_warning() {
    let server = Redis::five();
    let ended = run(&server.url(), &["doctor", "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for check in ["version", "wake-up", "CLIENT TRACKING"] {
        let (result, message) = of(&ended, check);
        assert!(result == "warn" && message.contains("poll"), "{check}: {message}");
    }
}

#[test]
fn a_server_that_is_away_fails_and_no_password_is_shown() {
    let mut server = Redis::start();
    server.kill();
    let ended = run(&server.url_for("someone", "hunter2"), &["doctor", "--json"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert_eq!(of(&ended, "connection").0, "fail");
    assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
}
