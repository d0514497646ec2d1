//! Asks one server for its version, role and settings, and tries the commands that are optional.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dspinlock::{Answer, Error, Server, StoreFailure};

use super::report::{Finding, Report};

/// Python workers decide by their own clocks.
const CLOCK_LIMIT: Duration = Duration::from_secs(1);

/// How often the clock is read.
const CLOCK_READS: usize = 5;

/// What the URL says about a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Whether the URL names a cluster.
    pub(super) is_cluster: bool,
    /// Whether other servers keep entries too.
    pub(super) has_others: bool,
}

pub(super) async fn check(
    server: &Server,
    place: Place,
    prefix: &str,
    report: &mut Report,
) -> io::Result<()> {
    let address = server.address();
    let name = place.has_others.then(|| address.clone());
    let connected = match server.command(&["PING"]).await {
        Err(error @ (Error::RedisNotInitialized { .. } | Error::InvalidOption { .. })) => {
            Finding::fail("connection", error)
        }
        // A server that does not permit `PING` has replied too.
        _ => Finding::ok("connection", &address),
    };
    let has_failed = connected.is_failure();
    report.add(connected.of_server(name.clone()))?;
    if has_failed {
        return Ok(());
    }
    let mut findings = Vec::new();
    match Info::of(server).await {
        Ok(info) => {
            findings.extend([
                version(&info),
                role(&info, place),
                persistence(server, &info).await,
                memory(&info),
            ]);
            findings.push(replication(server, &info).await);
        }
        Err(error) => {
            let lost = "a publish may be stored even if another master granted its lock";
            findings.push(Finding::warn(
                "INFO",
                format_args!("{}; without it, {lost}", why(&error)),
            ));
            let others = ["version", "role", "persistence", "maxmemory", "replication"];
            findings.extend(others.map(|check| Finding::unknown(check, unanswered(&error))));
        }
    }
    findings.push(clock(server).await);
    findings.push(permissions(server, &format!("{prefix},doctor")).await);
    for (name, command, without) in OPTIONAL {
        findings.push(match server.command(command).await {
            Ok(_) => Finding::ok(name, "permitted"),
            // The program may not need them, so this is no advice to grant them.
            Err(error) if is_denied(&error) && matches!(name, "WAIT" | "SCAN") => Finding::unknown(
                name,
                format_args!("the user may not run it; without it, {without}"),
            ),
            Err(error) => Finding::warn(name, format_args!("{}; without it, {without}", why(&error))),
        });
    }
    for finding in findings {
        report.add(finding.of_server(name.clone()))?;
    }
    Ok(())
}

/// Commands that calls do without, and what does not work then. docs/servers.md has the same.
const OPTIONAL: [(&str, &[&str], &str); 5] = [
    (
        "CLIENT TRACKING",
        // As at each login, so it changes nothing.
        &["CLIENT", "TRACKING", "ON", "OPTIN"],
        "waiting calls poll, and the near cache is off",
    ),
    (
        "CLIENT CACHING",
        &["CLIENT", "CACHING", "YES"],
        "waiting calls poll, and the near cache is off",
    ),
    (
        "SCRIPT LOAD",
        &["SCRIPT", "LOAD", "return 1"],
        "the first call of each script sends its text",
    ),
    ("WAIT", &["WAIT", "0", "1"], "`replicas` cannot be used"),
    (
        "SCAN",
        &["SCAN", "0", "COUNT", "1"],
        "`dspinlock ls` and `rm --site` cannot be used",
    ),
];

/// Tries each command of the scripts under a separate name. If a script is refused, the server does not always say which
/// command the user lacks.
async fn permissions(server: &Server, name: &str) -> Finding {
    let commands: [&[&str]; 10] = [
        &["GETRANGE", name, "0", "0"],
        &["GET", name],
        &["STRLEN", name],
        &["EXISTS", name],
        &["PTTL", name],
        &["SET", name, "", "PX", "1000"],
        &["PEXPIRE", name, "1000"],
        &["UNLINK", name],
        &["TIME"],
        &["EVAL", "return 1", "0"],
    ];
    let mut denied = Vec::new();
    for command in commands {
        // A cluster may keep the name on another master. The permission is checked before.
        let reply = server.command(command).await;
        if reply.is_err_and(|error| is_denied(&error)) {
            denied.push(format!("`{}`", command[0]));
        }
    }
    match denied.is_empty() {
        true => Finding::ok("permissions", "the scripts may run all of their commands"),
        false => Finding::fail(
            "permissions",
            format_args!(
                "the user may not run {} on `{name}`: grant it with `ACL SETUSER`, or name another `--prefix`",
                denied.join(", ")
            ),
        ),
    }
}

fn is_denied(error: &Error) -> bool {
    matches!(
        error,
        Error::Store {
            reason: StoreFailure::PermissionDenied(_),
            ..
        }
    )
}

/// Why a setting is not known. The user of a program must not be granted `CONFIG GET`, which shows passwords.
fn unanswered(error: &Error) -> String {
    match is_denied(error) {
        true => "the user may not ask; look on the server with an administrator's user".into(),
        false => why(error),
    }
}

/// The reason of a refusal.
fn why(error: &Error) -> String {
    match error {
        Error::Store { reason, .. } => match reason {
            StoreFailure::PermissionDenied(text) => text.clone(),
            reason => reason.to_string(),
        },
        error => error.to_string(),
    }
}

/// The reply to `INFO`.
struct Info(String);

impl Info {
    async fn of(server: &Server) -> Result<Self, Error> {
        let mut text = String::new();
        for section in ["server", "replication", "persistence", "memory", "cluster"] {
            if let Answer::Text(part) = server.command(&["INFO", section]).await? {
                text.push_str(&part);
                text.push('\n');
            }
        }
        Ok(Self(text))
    }

    fn get(&self, field: &str) -> Option<&str> {
        let value = |line| str::strip_prefix(line, field)?.strip_prefix(':');
        self.0.lines().find_map(value).map(str::trim)
    }

    fn number(&self, field: &str) -> u64 {
        self.get(field).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

fn version(info: &Info) -> Finding {
    let (name, version) = match (info.get("valkey_version"), info.get("redis_version")) {
        (Some(version), _) => ("Valkey", version),
        (None, Some(version)) => ("Redis", version),
        (None, None) => return Finding::unknown("version", "the server does not say it in `INFO`"),
    };
    let major: u32 = version
        .split('.')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let text = format!("{name} {version}");
    match major {
        6.. => Finding::ok("version", text),
        5 => Finding::warn(
            "version",
            format_args!(
                "{text}: waiting calls poll, and the near cache is off; use Redis 6.2 or later, or Valkey"
            ),
        ),
        _ => Finding::warn(
            "version",
            format_args!("{text} was not tested; use Redis 6.2 or later, or Valkey"),
        ),
    }
}

fn role(info: &Info, place: Place) -> Finding {
    match info.get("role") {
        _ if info.number("cluster_enabled") == 1 && !place.is_cluster => Finding::fail(
            "role",
            "the server is a node of a cluster, so calls for keys of other nodes fail: use `redis+cluster://`",
        ),
        Some("master") => Finding::ok("role", "master"),
        Some("slave") => Finding::fail(
            "role",
            "the server is a replica, so calls fail; the URL must lead to a master, for example with `redis+sentinel:`",
        ),
        _ => Finding::unknown("role", "the server does not say it in `INFO`"),
    }
}

async fn replication(server: &Server, info: &Info) -> Finding {
    let replicas = match info.number("connected_slaves") {
        0 => return Finding::ok("replication", "no replicas"),
        1 => "1 replica".to_owned(),
        count => format!("{count} replicas"),
    };
    match setting(server, "min-replicas-to-write").await {
        Err(reason) => Finding::unknown(
            "replication",
            format_args!("{replicas}; `min-replicas-to-write`: {reason}"),
        ),
        Ok(least) if least != "0" => Finding::ok(
            "replication",
            format_args!("{replicas}, min-replicas-to-write {least}"),
        ),
        Ok(_) => Finding::warn(
            "replication",
            format_args!(
                "{replicas}, min-replicas-to-write 0: a master that is cut off still grants locks, and a failover loses the last ones; set it to 1, and use `replicas = 1` for locks that must survive"
            ),
        ),
    }
}

async fn persistence(server: &Server, info: &Info) -> Finding {
    if info.number("aof_enabled") == 1 {
        return Finding::ok("persistence", "appendonly yes");
    }
    let (save, lost) = match setting(server, "save").await {
        Ok(save) if save.is_empty() => ("no snapshots".to_owned(), "a restart loses locks and results"),
        Ok(save) => (
            format!("save {save}"),
            "a crash loses the locks and results since the last snapshot",
        ),
        Err(reason) => {
            return Finding::unknown("persistence", format_args!("appendonly no; `save`: {reason}"));
        }
    };
    Finding::warn(
        "persistence",
        format_args!(
            "appendonly no, {save}: {lost}, so two bodies may run; if that does harm, set `appendonly yes`"
        ),
    )
}

fn memory(info: &Info) -> Finding {
    let (limit, policy) = (info.number("maxmemory"), info.get("maxmemory_policy"));
    let Some(policy) = policy else {
        return Finding::unknown("maxmemory", "the server does not say it in `INFO`");
    };
    let text = match limit {
        0 => return Finding::ok("maxmemory", format_args!("no limit, {policy}")),
        limit => format!("{} MiB, {policy}", limit >> 20),
    };
    match policy {
        "noeviction" => Finding::ok("maxmemory", text),
        policy if policy.ends_with("lru") || policy.ends_with("lfu") => Finding::warn(
            "maxmemory",
            format_args!(
                "{text}: a lock may be evicted, so two bodies may run; if that does harm, set `maxmemory-policy noeviction`"
            ),
        ),
        _ => Finding::warn(
            "maxmemory",
            format_args!(
                "{text}: locks are evicted before or like results, so two bodies may run; set `maxmemory-policy noeviction`, or `allkeys-lru` for a cache"
            ),
        ),
    }
}

/// A setting of the server, or why it is not known.
async fn setting(server: &Server, name: &str) -> Result<String, String> {
    match server.command(&["CONFIG", "GET", name]).await {
        Ok(Answer::List(items)) => match &*items {
            [_, Answer::Text(value)] => Ok(value.clone()),
            _ => Err("the server does not have it".into()),
        },
        Ok(_) => Err("unexpected reply".into()),
        Err(error) => Err(unanswered(&error)),
    }
}

async fn clock(server: &Server) -> Finding {
    let mut last = None;
    for _ in 0..CLOCK_READS {
        let (time, local) = match server.command(&["TIME"]).await {
            Ok(answer) => (
                time_of(&answer),
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            ),
            Err(error) => return Finding::unknown("clock", why(&error)),
        };
        let Some(time) = time else {
            return Finding::unknown("clock", "unexpected reply to `TIME`");
        };
        if last.is_some_and(|(last, _)| time < last) {
            return Finding::fail(
                "clock",
                "the clock of the server goes back: leases last longer than they should, and fences may repeat; repair its time service",
            );
        }
        last = Some((time, time.abs_diff(local)));
    }
    let difference = last.map(|(_, difference)| difference).unwrap_or_default();
    match difference > CLOCK_LIMIT {
        true => Finding::warn(
            "clock",
            format_args!(
                "{difference:.1?} from the clock of this machine: dspinlock uses only that of the server, but Python workers use their own; repair the time service of one of them"
            ),
        ),
        false => Finding::ok(
            "clock",
            format_args!("within {CLOCK_LIMIT:?} of the clock of this machine"),
        ),
    }
}

/// The reply to `TIME`: seconds and microseconds.
fn time_of(answer: &Answer) -> Option<Duration> {
    let Answer::List(items) = answer else { return None };
    let number = |item: &Answer| match item {
        Answer::Text(text) => text.parse().ok(),
        Answer::Number(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    let [seconds, micros] = &**items else { return None };
    Some(Duration::from_secs(number(seconds)?) + Duration::from_micros(number(micros)?))
}
