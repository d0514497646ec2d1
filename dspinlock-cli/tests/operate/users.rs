//! The users of SECURITY.md: an operator looks and deletes, and `doctor` names what an application may not do.

use dspinlock::Pool;
use dspinlock_testkit::Redis;

use crate::doctor::of;
use crate::stage::{price, run};

const SECURITY: &str = include_str!("../../../SECURITY.md");

/// A server with the operator, and the password `any`.
fn with_operator() -> Redis {
    let server = Redis::start();
    let start = SECURITY
        .find("ACL SETUSER operator")
        .expect("SECURITY.md has the rule");
    let block = SECURITY[start..].split("```").next().expect("the first part");
    let words = block.split_whitespace().filter(|word| *word != "\\");
    let rule: Vec<&str> = words
        .map(|word| if word.starts_with('>') { ">any" } else { word })
        .collect();
    server.raw(&rule);
    server
}

#[test]
fn the_operator_lists_describes_and_deletes() {
    let server = with_operator();
    let pool = Pool::open(&server.url()).expect("a good URL");
    let names = [1, 2, 3].map(|id| price(&pool, id));
    let url = server.url_for("operator", "any");
    let listed = run(&url, &["ls"]);
    assert_eq!((listed.lines().len(), &*listed.stderr), (3, ""));
    assert!(run(&url, &["show", &names[0]]).lines().len() > 5);
    assert_eq!(run(&url, &["rm", &names[0], "--yes"]).lines(), [&names[0]]);
    assert_eq!(
        run(&url, &["rm", "--site", "app::price", "--yes"]).lines().len(),
        2
    );
    assert!(server.keys().is_empty());
    assert_eq!(server.acl_log(), "array([])", "nothing was denied");
}

#[test]
fn the_operator_may_not_write_or_see_other_keys_and_settings() {
    let server = with_operator();
    let is_permitted = |command: &str| {
        let words = ["ACL", "DRYRUN", "operator"]
            .into_iter()
            .chain(command.split(' '));
        let reply = format!("{:?}", server.raw(&words.collect::<Vec<_>>()));
        !reply.contains("no permissions")
    };
    for command in [
        "SCAN 0",
        "TTL dspinlock,x",
        "MEMORY USAGE dspinlock,x",
        "CLIENT LIST",
        "INFO stats",
        "PING",
    ] {
        assert!(is_permitted(command), "{command} is denied");
    }
    for command in [
        "SET dspinlock,x 1",
        "GET another-application",
        "UNLINK another-application",
        "PERSIST dspinlock,x",
        "KEYS *",
        "FLUSHALL",
        "CONFIG GET *",
    ] {
        assert!(!is_permitted(command), "{command} is permitted");
    }
}

#[test]
fn doctor_says_what_the_user_of_an_application_may_not_do() {
    let server = Redis::start();
    server.restrict_to_least_privilege(&[]);
    let url = server.url_for("app", "any");
    let ended = run(&url, &["doctor", "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (result, message) = of(&ended, "persistence");
    assert!(
        result == "unknown" && message.contains("`save`: the user may not ask; look on the server"),
        "{message}"
    );
    for (check, without) in [("SCAN", "`dspinlock ls`"), ("WAIT", "`replicas`")] {
        let (result, message) = of(&ended, check);
        assert!(result == "unknown" && message.contains(without), "{message}");
    }
    assert!(
        !ended.stdout.contains("ACL SETUSER"),
        "it advises to grant more than SECURITY.md: {ended:?}"
    );
    for (denied, check, result) in [
        ("-info", "INFO", "warn"),
        ("-info", "role", "unknown"),
        ("-script|load", "SCRIPT LOAD", "warn"),
        ("-client|tracking", "CLIENT TRACKING", "warn"),
        ("-client|tracking", "wake-up", "warn"),
        ("-set", "acquire", "fail"),
        ("-set", "permissions", "fail"),
        ("-pexpire", "renew", "fail"),
        ("-getrange", "permissions", "fail"),
    ] {
        server.raw(&["ACL", "SETUSER", "app", denied]);
        let ended = run(&url, &["doctor", "--json"]);
        let (found, message) = of(&ended, check);
        assert_eq!(found, result, "{denied}: {message}");
        let command = denied.trim_start_matches('-').split('|').next().expect("a word");
        assert!(
            check != "permissions" || message.contains(&command.to_uppercase()),
            "{denied}: {message}"
        );
        let code = if result == "fail" { 78 } else { 0 };
        assert_eq!(ended.code, Some(code), "{denied}: {ended:?}");
        server.raw(&["ACL", "SETUSER", "app", &denied.replace('-', "+")]);
    }
}
