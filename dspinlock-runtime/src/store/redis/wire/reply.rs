//! Replies of a server, translated into replies of the protocol. The text of an error reply is never shown: it may quote
//! an argument. Its code is.

use bytes::Bytes;
use redis::{RedisError, Value};

use crate::error::StoreFailure;
use crate::key::Key;
use crate::protocol::header::Hit;
use crate::protocol::record::{Entry, line};
use crate::protocol::state::BadState;
use crate::protocol::tag::{Head, Id, Kind};
use crate::protocol::{self, Existing, Read, Reply, Request};
#[cfg(feature = "inspect")]
use crate::store::api;
use crate::store::api::Failure;
#[cfg(feature = "cluster")]
use crate::store::redis::url::address::HostPort;

/// The reply to one command.
pub(crate) type Answer = Result<Value, CommandError>;

/// Why a command has no reply that its sender can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommandError {
    Refused(Refusal),
    Failed(Failure),
}

/// An error reply. Callers match it; its text is only for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `MOVED`: another node of the cluster serves the slot. An empty host is the host of the node that replied.
    #[cfg(feature = "cluster")]
    Moved(HostPort),
    /// `ASK`: another node serves this command, because the slot is migrating.
    #[cfg(feature = "cluster")]
    Ask(HostPort),
    /// `TRYAGAIN`: a key that the command names has not moved yet.
    #[cfg(feature = "cluster")]
    TryAgain,
    /// `WRONGTYPE`: the entry is no string.
    WrongType,
    /// The server does not have the script, does not know `EVALSHA`, or the user may not run it.
    NoScript(StoreFailure),
    Other(StoreFailure),
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Refused(refusal) => Self::Refused(refusal.into()),
            CommandError::Failed(failure) => failure,
        }
    }
}

/// A redirect that is not followed does not show the address of the other node.
impl From<Refusal> for StoreFailure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            #[cfg(feature = "cluster")]
            Refusal::Moved(_) => Self::Refused("MOVED".into()),
            #[cfg(feature = "cluster")]
            Refusal::Ask(_) => Self::Refused("ASK".into()),
            #[cfg(feature = "cluster")]
            Refusal::TryAgain => Self::Unavailable("TRYAGAIN".into()),
            Refusal::WrongType => Self::Refused("WRONGTYPE".into()),
            Refusal::NoScript(failure) | Refusal::Other(failure) => failure,
        }
    }
}

/// The outcome of a plain read. A server returns no expired entry, so the time does not matter.
pub(crate) fn read(key: &Key, request: Read, answer: Answer) -> Result<Reply, CommandError> {
    Ok(protocol::apply(key, &entry(answer)?, 0, &Request::Read(request)).1)
}

/// The reply of a script: a word, or an array of a word and its parameters. A grant is its head alone. (An array takes the
/// server as long as one of the commands that the script calls.)
pub(crate) fn parse(reply: Value) -> Result<Reply, CommandError> {
    let items = match reply {
        Value::Array(items) => items,
        word => vec![word],
    };
    let mut items = items.into_iter();
    let word = text(items.next())?;
    Ok(match word.as_ref() {
        head if head.len() == Head::LENGTH => Reply::Acquired(grant(head)?),
        b"HIT" => {
            let hit = Hit::parse(text(items.next())?).ok_or_else(unexpected)?;
            Reply::Hit(hit, remaining(items.next())?)
        }
        b"BUSY" => Reply::Busy(existing(items)?),
        b"EXISTS" => Reply::Exists(existing(items)?),
        b"MISS" => Reply::Miss,
        b"COMPUTED" => Reply::Computed,
        b"DONE" => Reply::Done,
        b"BAD" => Reply::Bad(match text(items.next())?.as_ref() {
            b"NUMBER" => BadState::Number,
            _ => BadState::Malformed,
        }),
        b"RENEWED" => Reply::Renewed,
        b"LOST" => Reply::Lost,
        b"PUBLISHED" => Reply::Published,
        b"RELEASED" => Reply::Released,
        b"ABORTED" => Reply::Aborted(number(items.next())? == 1),
        b"DELETED" => Reply::Deleted(number(items.next())? == 1),
        _ => return Err(unexpected()),
    })
}

/// The commands that the scripts call. An error reply of a script does not say which one it is.
const IN_SCRIPTS: &str =
    "`exists`, `get`, `getrange`, `pexpire`, `pttl`, `set`, `strlen`, `time` and `unlink`";

pub(crate) fn refused(error: &RedisError) -> CommandError {
    #[cfg(feature = "cluster")]
    if let Some(redirect) = redirect(error) {
        return CommandError::Refused(redirect);
    }
    CommandError::Refused(match code(error) {
        "WRONGTYPE" => Refusal::WrongType,
        _ if lacks_script(error) => Refusal::NoScript(reason(error)),
        _ => Refusal::Other(reason(error)),
    })
}

fn lacks_script(error: &RedisError) -> bool {
    match code(error) {
        "NOSCRIPT" => true,
        "NOPERM" => error.detail().and_then(command) == Some("evalsha"),
        _ => unknown_command(error) == Some("EVALSHA"),
    }
}

/// What a message says of a refusal.
fn reason(error: &RedisError) -> StoreFailure {
    let (code, detail) = (code(error), error.detail().unwrap_or_default());
    match code {
        "NOPERM" | "NOAUTH" => StoreFailure::PermissionDenied(denied(code, detail)),
        // In scripts, older servers report a missing permission with the code `ERR`.
        _ if detail.contains("can't run this command") => {
            StoreFailure::PermissionDenied(denied(code, detail))
        }
        "OOM" | "READONLY" | "LOADING" | "MISCONF" | "NOREPLICAS" | "MASTERDOWN" | "CLUSTERDOWN"
        | "TRYAGAIN" | "BUSY" => StoreFailure::Unavailable(code.into()),
        _ if detail.contains("Unknown Redis command called") => {
            StoreFailure::Refused(format!("{code}: unknown command of the scripts ({IN_SCRIPTS})"))
        }
        _ => StoreFailure::Refused(match unknown_command(error) {
            Some(command) => format!("{code}: unknown command `{command}`"),
            None => code.into(),
        }),
    }
}

/// Whether the server, or a proxy before it, does not know a command.
pub(crate) fn is_unknown_command(error: &RedisError) -> bool {
    let starts = |text: &str| text.starts_with("unknown command") || text.starts_with("unsupported command");
    error.detail().is_some_and(starts)
}

/// The command in ``unknown command 'EVAL', with args beginning with: `` if it is one of this crate. The rest of the text
/// quotes arguments.
fn unknown_command(error: &RedisError) -> Option<&'static str> {
    const COMMANDS: [&str; 6] = ["EVALSHA", "EVAL", "GETRANGE", "CLIENT", "WAIT", "ASKING"];
    let detail = error.detail().filter(|_| is_unknown_command(error))?;
    let name = detail.split(['\'', '`', ',']).nth(1)?;
    COMMANDS
        .into_iter()
        .find(|command| command.eq_ignore_ascii_case(name))
}

/// The code of an error reply. A first word that is not a code is not shown: it may be a quoted argument.
pub(crate) fn code(error: &RedisError) -> &str {
    const MAX: usize = 32;
    let is_code = |code: &&str| {
        code.len() <= MAX
            && code
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    error.code().filter(is_code).unwrap_or("ERR")
}

/// Which permission is missing, and how to grant it.
fn denied(code: &str, detail: &str) -> String {
    if code == "NOAUTH" {
        return "the server requires a login: add `user:password@` to the URL".into();
    }
    match command(detail) {
        Some(command) => format!("the user may not run `{command}`: grant it with `ACL SETUSER`"),
        None if detail.contains("key") => {
            "the user may not access this key: grant it with `ACL SETUSER`".into()
        }
        // The server does not say which one.
        None => format!(
            "the user may not run a command of the scripts ({IN_SCRIPTS}): grant it with `ACL SETUSER`"
        ),
    }
}

/// The command in `NOPERM User u has no permissions to run the 'evalsha' command`. The rest of the text may quote an
/// argument.
fn command(detail: &str) -> Option<&str> {
    let (_, rest) = detail.split_once("to run the '")?;
    let (command, _) = rest.split_once('\'')?;
    let is_name = command
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'|');
    (is_name && (1..=32).contains(&command.len())).then_some(command)
}

#[cfg(feature = "cluster")]
fn redirect(error: &RedisError) -> Option<Refusal> {
    // The node in `MOVED 3999 127.0.0.1:6381`.
    let place = || {
        let (_slot, place) = error.detail()?.split_once(' ')?;
        let (host, port) = place.rsplit_once(':')?;
        Some((host.to_owned(), port.parse().ok()?))
    };
    match code(error) {
        "MOVED" => place().map(Refusal::Moved),
        "ASK" => place().map(Refusal::Ask),
        "TRYAGAIN" => Some(Refusal::TryAgain),
        _ => None,
    }
}

/// Whether to send the text of a script instead of its digest.
pub(crate) fn needs_text(answer: &Answer) -> bool {
    matches!(answer, Err(CommandError::Refused(Refusal::NoScript(_))))
}

fn entry(answer: Answer) -> Result<Entry, CommandError> {
    match answer {
        Ok(Value::Nil) => Ok(Entry::Absent),
        Ok(Value::BulkString(bytes)) if bytes.is_empty() => Ok(Entry::Absent),
        Ok(Value::BulkString(bytes)) => Ok(Entry::Bytes {
            bytes: bytes.into(),
            until: None,
        }),
        Ok(_) => Err(unexpected()),
        Err(CommandError::Refused(Refusal::WrongType)) => Ok(Entry::WrongType),
        Err(error) => Err(error),
    }
}

/// The grant in the head of a held lock.
fn grant(head: &[u8]) -> Result<Id, CommandError> {
    match Head::parse(head) {
        Some(Head {
            kind: Kind::Blocked,
            id,
        }) => Ok(id),
        _ => Err(unexpected()),
    }
}

fn existing(mut items: impl Iterator<Item = Value>) -> Result<Existing, CommandError> {
    Ok(Existing {
        line: line(&text(items.next())?),
        remaining: remaining(items.next())?,
        now: number(items.next())?,
    })
}

fn text(item: Option<Value>) -> Result<Bytes, CommandError> {
    match item {
        Some(Value::BulkString(bytes)) => Ok(bytes.into()),
        _ => Err(unexpected()),
    }
}

/// Scripts return fences and times as text, and small numbers as integers.
fn number(item: Option<Value>) -> Result<u64, CommandError> {
    match item {
        Some(Value::Int(number)) => u64::try_from(number).map_err(|_| unexpected()),
        Some(Value::BulkString(bytes)) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(unexpected),
        _ => Err(unexpected()),
    }
}

/// A time in milliseconds. A negative number means that there is no expiry.
fn remaining(item: Option<Value>) -> Result<Option<u64>, CommandError> {
    match item {
        Some(Value::Int(number)) => Ok(u64::try_from(number).ok()),
        _ => Err(unexpected()),
    }
}

/// The reply to a command of an operator.
#[cfg(feature = "inspect")]
pub(crate) fn answer(value: Value) -> Result<api::Answer, CommandError> {
    use api::Answer::{List, Nil, Number, Text};
    let text = |bytes: &[u8]| Text(String::from_utf8_lossy(bytes).into_owned());
    Ok(match value {
        Value::Nil => Nil,
        Value::Int(number) => Number(number),
        Value::Boolean(is_true) => Number(is_true.into()),
        Value::Okay => Text("OK".into()),
        Value::BulkString(bytes) => text(&bytes),
        Value::SimpleString(string) => Text(string),
        Value::VerbatimString { text, .. } => Text(text),
        Value::Double(number) => Text(number.to_string()),
        Value::Array(items) | Value::Set(items) => {
            List(items.into_iter().map(answer).collect::<Result<_, _>>()?)
        }
        Value::Map(pairs) => {
            let items = pairs.into_iter().flat_map(|(name, value)| [name, value]);
            List(items.map(answer).collect::<Result<_, _>>()?)
        }
        _ => return Err(unexpected()),
    })
}

/// The next cursor and the names in the reply to `SCAN`.
#[cfg(feature = "inspect")]
pub(crate) fn scanned(answer: api::Answer) -> Result<(String, Vec<String>), CommandError> {
    use api::Answer::{List, Text};
    let List(items) = answer else {
        return Err(unexpected());
    };
    let Ok([Text(cursor), List(names)]) = <[api::Answer; 2]>::try_from(items) else {
        return Err(unexpected());
    };
    let names = names.into_iter().filter_map(|name| match name {
        Text(name) => Some(name),
        _ => None,
    });
    Ok((cursor, names.collect()))
}

pub(crate) fn unexpected() -> CommandError {
    Failure::Refused(StoreFailure::Refused("unexpected reply from the server".into())).into()
}

#[cfg(test)]
mod tests {
    use redis::{ServerError, parse_redis_value};

    use super::*;
    use crate::protocol::tag::Tag;

    fn refusal(line: &str) -> CommandError {
        let value = parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("an error reply");
        let error: ServerError = match value {
            Value::ServerError(error) => error,
            other => panic!("{other:?} is not an error"),
        };
        refused(&error.into())
    }

    fn failure(line: &str) -> Failure {
        refusal(line).into()
    }

    #[test]
    fn the_text_of_a_script_is_sent_if_its_digest_cannot_be_used() {
        for (line, expected) in [
            ("NOSCRIPT No matching script. Please use EVAL.", true),
            (
                "ERR unknown command 'evalsha', with args beginning with: 'a'",
                true,
            ),
            (
                "NOPERM User u has no permissions to run the 'evalsha' command",
                true,
            ),
            ("ERR unknown command 'EVAL', with args beginning with: 'a'", false),
            (
                "NOPERM User u has no permissions to run the 'eval' command",
                false,
            ),
            (
                "NOPERM User u has no permissions to access the 'evalsha' key",
                false,
            ),
            ("OOM command not allowed when used memory > 'maxmemory'.", false),
        ] {
            assert_eq!(needs_text(&Err(refusal(line))), expected, "{line}");
        }
    }

    #[test]
    fn a_reply_that_no_script_sends_is_an_error() {
        let parse = |reply: &str| parse(parse_redis_value(reply.as_bytes()).expect("a reply"));
        assert_eq!(
            parse("$33\r\nBtag-of-16-bytes_0000000000000007\r\n"),
            Ok(Reply::Acquired(Id {
                tag: Tag::parse(b"tag-of-16-bytes_").expect("a tag"),
                fence: 7
            }))
        );
        for reply in [
            ":1\r\n",
            "$-1\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*1\r\n:1\r\n",
            "*1\r\n$5\r\nOTHER\r\n",
            "$5\r\nOTHER\r\n",
            "$4\r\nBUSY\r\n",
            "$33\r\nBtag-of-16-bytes_9007199254740992\r\n",
            "$33\r\nVtag-of-16-bytes_0000000000000007\r\n",
            "*3\r\n$3\r\nHIT\r\n$5\r\nvalue\r\n:1\r\n",
            "*2\r\n$4\r\nBUSY\r\n$1\r\na\r\n",
            "*2\r\n$7\r\nABORTED\r\n_\r\n",
        ] {
            assert_eq!(parse(reply), Err(unexpected()), "{reply:?}");
        }
    }

    #[test]
    fn a_nil_for_a_range_is_an_absent_entry() {
        for absent in [Value::Nil, Value::BulkString(Vec::new())] {
            assert_eq!(entry(Ok(absent)), Ok(Entry::Absent));
        }
        for other in [Value::Okay, Value::Int(1), Value::Array(Vec::new())] {
            assert_eq!(entry(Ok(other)), Err(unexpected()));
        }
    }

    #[test]
    fn a_missing_permission_names_the_command() {
        for line in [
            "NOPERM User reader has no permissions to run the 'evalsha' command",
            "NOPERM this user has no permissions to run the 'evalsha' command",
        ] {
            let Failure::Refused(StoreFailure::PermissionDenied(reason)) = failure(line) else {
                panic!("{line}");
            };
            assert!(reason.contains("`evalsha`"), "{reason}");
        }
    }

    #[test]
    fn a_redirect_that_is_not_followed_does_not_show_the_node() {
        for line in ["MOVED 3999 node.internal:6381", "ASK 3999 node.internal:6381"] {
            let shown = format!("{:?}", failure(line));
            assert!(!shown.contains("node") && !shown.contains("6381"), "{shown}");
        }
    }

    #[test]
    fn the_text_of_an_error_reply_is_not_shown() {
        for line in [
            "ERR unknown command 'EVALSHA', with args beginning with: 'secret'",
            "NOPERM User secret has no permissions to access the 'secret' key",
            "NOPERM User u has no permissions to run the 'secret argument' command",
            "secret",
            "se\u{1b}[31mcret and more",
        ] {
            let shown = format!("{:?}", failure(line));
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
