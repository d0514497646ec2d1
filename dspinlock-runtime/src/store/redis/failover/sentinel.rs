//! Sentinel: finds the address of the master for each new connection, and closes connections to a former master.
//! `reconnect` calls it through the trait [`Locate`].

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, RedisError, Value};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::rt::background;
use crate::rt::clock::Instant;
use crate::store::api::Boxed;
use crate::store::redis::client_name::Purpose;
use crate::store::redis::connection::Connection;
use crate::store::redis::connection::login::{Pushes, login};
use crate::store::redis::reconnect::Locate;
use crate::store::redis::redact::redact;
use crate::store::redis::timeouts::Timeouts;
use crate::store::redis::url::address::{Address, HostPort};
use crate::store::redis::wire::reply;

/// The sentinels of one master.
pub(crate) struct Sentinels {
    sentinels: Vec<Address>,
    name: String,
    /// The login to the master. A sentinel names the host and the port.
    template: Address,
    /// The sentinel that answered last is asked first.
    first: AtomicUsize,
    /// The master that the subscribed sentinel named last.
    master: watch::Sender<Option<HostPort>>,
    subscribed: Once,
}

/// How often a sentinel without announcements is asked.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The pause before the next sentinel is subscribed to.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

impl Sentinels {
    pub(crate) fn new(sentinels: Vec<Address>, name: String, template: Address) -> Self {
        Self {
            sentinels,
            name,
            template,
            first: AtomicUsize::new(0),
            master: watch::Sender::default(),
            subscribed: Once::new(),
        }
    }

    /// Asks one sentinel after another. Each has its share of the connect timeout.
    async fn find_master(self: &Arc<Self>, timeouts: Timeouts) -> Result<Address, String> {
        self.subscribe(timeouts);
        let count = self.sentinels.len();
        let share = timeouts.connect / u32::try_from(count + 1).unwrap_or(u32::MAX);
        let first = self.first.load(Ordering::Relaxed);
        let mut last = String::new();
        for at in (first..first + count).map(|at| at % count) {
            let sentinel = &self.sentinels[at];
            let asked = async {
                SentinelClient::connect(sentinel, None)
                    .await?
                    .master(&self.name)
                    .await
            };
            match within(share, asked).await {
                Ok(host_port) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(self.template.at(host_port));
                }
                Err(reason) => last = format!("no sentinel knows the master; `{sentinel}`: {reason}"),
            }
        }
        Err(last)
    }

    /// Subscribes to one sentinel at a time, from the first connection until the pool is dropped.
    fn subscribe(self: &Arc<Self>, timeouts: Timeouts) {
        self.subscribed.call_once(|| {
            let sentinels = Arc::downgrade(self);
            background::handle().spawn(async move {
                for at in 0.. {
                    let Some(sentinel) = sentinels.upgrade().map(|known| known.sentinel(at)) else {
                        return;
                    };
                    // The next sentinel is tried after any failure.
                    let _ = follow(&sentinels, &sentinel, timeouts.connect).await;
                    background::sleep(RETRY_INTERVAL).await;
                }
            });
        });
    }

    fn sentinel(&self, at: usize) -> Address {
        self.sentinels[at % self.sentinels.len()].clone()
    }

    /// Closes the connection when another master than `peer` is named.
    fn guard(&self, connection: &Arc<Connection>, peer: Option<HostPort>) {
        let mut master = self.master.subscribe();
        let (closed, connection) = (connection.closed(), Arc::downgrade(connection));
        tokio::spawn(async move {
            tokio::pin!(closed);
            loop {
                tokio::select! {
                    () = &mut closed => return,
                    changed = master.changed() => if changed.is_err() { return },
                }
                if *master.borrow_and_update() != peer {
                    if let Some(connection) = connection.upgrade() {
                        connection.close();
                    }
                    return;
                }
            }
        });
    }
}

impl Locate for Sentinels {
    fn locate(self: Arc<Self>, timeouts: Timeouts) -> Boxed<Result<Address, String>> {
        Box::pin(async move { self.find_master(timeouts).await })
    }

    fn admit(self: Arc<Self>, connection: Arc<Connection>, address: Address) -> Boxed<Result<(), String>> {
        Box::pin(async move {
            check_role(&connection).await?;
            self.guard(&connection, address.host_port());
            Ok(())
        })
    }
}

/// A sentinel may name a server that is not a master yet, or not any more.
async fn check_role(connection: &Connection) -> Result<(), String> {
    match connection.send(&redis::cmd("ROLE"), Instant::now()).await {
        Ok(Value::Array(role)) if role.first() == Some(&Value::BulkString("master".into())) => Ok(()),
        Ok(_) => Err(
            "the server that the sentinel names is not a master: the failover is not finished, try again"
                .into(),
        ),
        Err(_) => Err("`ROLE` failed on the server that the sentinel names: allow the user to run it".into()),
    }
}

/// Follows one sentinel until it fails. An announcement only triggers a query, so a lost one delays it by a poll interval.
async fn follow(sentinels: &Weak<Sentinels>, sentinel: &Address, limit: Duration) -> Result<(), String> {
    let (sender, mut pushes) = mpsc::unbounded_channel();
    let subscribed = async {
        let mut client = SentinelClient::connect(sentinel, Some(sender)).await?;
        if client.has_pushes {
            let subscribed = client.connection.subscribe("+switch-master").await;
            subscribed.map_err(|error| failure("SUBSCRIBE", &error))?;
        }
        Ok(client)
    };
    let mut client = within(limit, subscribed).await?;
    loop {
        let Some(name) = sentinels.upgrade().map(|sentinels| sentinels.name.clone()) else {
            return Ok(());
        };
        let host_port = within(limit, client.master(&name)).await?;
        if let Some(sentinels) = sentinels.upgrade() {
            sentinels.master.send_if_modified(|master| {
                let is_new = master.as_ref() != Some(&host_port);
                *master = Some(host_port);
                is_new
            });
        }
        tokio::select! {
            () = background::sleep(POLL_INTERVAL) => {}
            push = pushes.recv(), if client.has_pushes => if push.is_none() { return Ok(()) },
        }
    }
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the sentinels at ", redact(&self.name))?;
        for (at, sentinel) in self.sentinels.iter().enumerate() {
            write!(f, "{}{sentinel}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// A connection to a sentinel. It is closed when dropped.
struct SentinelClient {
    connection: MultiplexedConnection,
    driver: AbortHandle,
    has_pushes: bool,
}

impl SentinelClient {
    async fn connect(
        sentinel: &Address,
        pushes: Option<mpsc::UnboundedSender<PushInfo>>,
    ) -> Result<Self, String> {
        let pushes = pushes.map(|sender| -> Pushes {
            Arc::new(move |push| {
                // The receiver is gone if the subscription has ended.
                let _ = sender.send(push);
            })
        });
        let config = AsyncConnectionConfig::new();
        let login = login(sentinel, config, pushes, Arc::default(), Purpose::Sentinel).await?;
        Ok(Self {
            connection: login.connection,
            driver: tokio::spawn(login.driver).abort_handle(),
            has_pushes: login.resp.has_pushes(),
        })
    }

    async fn master(&mut self, name: &str) -> Result<HostPort, String> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let found: Option<HostPort> = command
            .query_async(&mut self.connection)
            .await
            .map_err(|error| failure("SENTINEL GET-MASTER-ADDR-BY-NAME", &error))?;
        found.ok_or_else(|| "it knows no master with this name: check the URL".into())
    }
}

impl Drop for SentinelClient {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn within<T>(limit: Duration, answer: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::select! {
        answer = answer => answer,
        () = background::time_limit(limit) => Err(format!("no answer within {limit:?}")),
    }
}

/// The text of an error reply is not shown: it may quote an argument.
fn failure(command: &str, error: &RedisError) -> String {
    match error.code() {
        Some(_) => format!(
            "`{command}` failed (`{}`): check the permissions of the user",
            reply::code(error)
        ),
        None => format!("`{command}` failed ({}): check the sentinel", error.category()),
    }
}
