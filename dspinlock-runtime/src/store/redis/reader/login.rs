//! The login of a reader: the commands to send, and the judgement of their replies. It does no I/O; `stream` calls it.
//!
//! A reader must lead to the server process of its group. If the user may not run `INFO`, the address must suffice.

use redis::RedisConnectionInfo;

use super::frame::{Due, Frame};

/// The longest reply to `INFO`.
const MAX_INFO: usize = 64 * 1024;

/// What `INFO` tells about a server process. `None` is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) run_id: Option<String>,
    /// `master` or `slave`.
    pub(crate) role: Option<String>,
}

/// The reply is not good enough for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// `AUTH` and `SELECT`.
    Required,
    /// `CLIENT SETNAME`.
    Optional,
    RunId,
    Role,
}

/// A login in progress.
pub(crate) struct Login {
    server: Server,
    /// The replies that are due, the last one first.
    steps: Vec<Step>,
}

impl Login {
    /// The login, and its commands in one packet. `server` is the server of the group.
    pub(crate) fn new(login: &RedisConnectionInfo, client_name: &str, server: Server) -> (Self, Vec<u8>) {
        let mut steps = Vec::new();
        let mut packet = Vec::new();
        let mut add = |step, words: &[&str]| {
            steps.push(step);
            let mut command = redis::Cmd::new();
            words.iter().for_each(|word| {
                command.arg(word);
            });
            packet.extend_from_slice(&command.get_packed_command());
        };
        match (login.username(), login.password()) {
            (Some(user), Some(password)) => add(Step::Required, &["AUTH", user, password]),
            (None, Some(password)) => add(Step::Required, &["AUTH", password]),
            (_, None) => {}
        }
        if login.db() != 0 {
            add(Step::Required, &["SELECT", &login.db().to_string()]);
        }
        add(Step::Optional, &["CLIENT", "SETNAME", client_name]);
        add(Step::RunId, &["INFO", "server"]);
        add(Step::Role, &["INFO", "replication"]);
        steps.reverse();
        (Self { server, steps }, packet)
    }

    /// The next reply; `None` after the last one.
    pub(crate) fn due(&self) -> Option<Due> {
        Some(match self.steps.last()? {
            Step::Required | Step::Optional => Due::Ok,
            Step::RunId | Step::Role => Due::Bulk { max: MAX_INFO },
        })
    }

    /// Judges the reply that is due.
    pub(crate) fn judge(&mut self, reply: &Frame) -> Result<(), Refused> {
        let is_good = match self.steps.pop() {
            Some(Step::Required) => matches!(reply, Frame::Ok),
            Some(Step::Optional) => true,
            Some(Step::RunId) => agrees(self.server.run_id.as_deref(), field(reply, "run_id")),
            Some(Step::Role) => agrees(self.server.role.as_deref(), field(reply, "role")),
            None => false,
        };
        if is_good { Ok(()) } else { Err(Refused) }
    }
}

/// An unknown field agrees with everything.
fn agrees(expected: Option<&str>, found: Option<&str>) -> bool {
    expected.is_none() || found.is_none() || expected == found
}

fn field<'a>(reply: &'a Frame, name: &str) -> Option<&'a str> {
    let Frame::Bulk(text) = reply else {
        return None;
    };
    std::str::from_utf8(text)
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nrun_id:aa\r\nrole:master\r\n";

    fn info(text: &'static str) -> Frame {
        Frame::Bulk(text.into())
    }

    fn server() -> Server {
        Server {
            run_id: Some("aa".into()),
            role: Some("master".into()),
        }
    }

    fn outcome(login: &RedisConnectionInfo, replies: &[Frame]) -> Result<bool, Refused> {
        let (mut login, _) = Login::new(login, "name", server());
        for reply in replies {
            login.judge(reply)?;
        }
        Ok(login.due().is_none())
    }

    #[test]
    fn a_login_sends_only_what_it_needs() {
        let words = |login| {
            let (_, packet) = Login::new(&login, "name", Server::default());
            let packet = String::from_utf8(packet).expect("text");
            let words = packet.lines().filter(|line| !line.starts_with(['*', '$']));
            words.collect::<Vec<_>>().join(" ")
        };
        let rest = "CLIENT SETNAME name INFO server INFO replication";
        let login = RedisConnectionInfo::default();
        assert_eq!(words(login.clone()), rest);
        assert_eq!(words(login.clone().set_password("p")), format!("AUTH p {rest}"));
        let login = login.set_username("u").set_password("p").set_db(3);
        assert_eq!(words(login), format!("AUTH u p SELECT 3 {rest}"));
    }

    #[test]
    fn a_name_and_info_are_best_effort_and_the_rest_is_required() {
        let login = RedisConnectionInfo::default().set_password("p");
        let good = [Frame::Ok, Frame::Ok, info(INFO), info(INFO)];
        assert_eq!(outcome(&login, &good), Ok(true));
        assert_eq!(outcome(&login, &good[..3]), Ok(false));
        for optional in 1..4 {
            let mut replies = good.clone();
            replies[optional] = Frame::Error;
            assert_eq!(outcome(&login, &replies), Ok(true), "{optional}");
        }
        assert_eq!(outcome(&login, &[Frame::Error]), Err(Refused));
    }

    #[test]
    fn another_process_and_another_role_are_refused() {
        let login = RedisConnectionInfo::default();
        let other = "run_id:ab\r\nrole:slave\r\n";
        assert_eq!(outcome(&login, &[Frame::Ok, info(other)]), Err(Refused));
        assert_eq!(
            outcome(&login, &[Frame::Ok, info(INFO), info(other)]),
            Err(Refused)
        );
    }
}
