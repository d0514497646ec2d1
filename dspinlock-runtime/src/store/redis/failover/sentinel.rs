//! Sentinel: the address of a link is asked for whenever it connects, and left when another master is named.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, RedisError, Value};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::error::Error;
use crate::rt::background;
use crate::store::redis::connection::Generation;
use crate::store::redis::connection::transport::Counted;
use crate::store::redis::tracking::Watches;
use crate::store::redis::url::address::Place;
use crate::store::redis::url::multi_host::Several;
use crate::store::redis::{Address, Limits};
use crate::tls::Tls;

/// The sentinels of one master.
pub(in crate::store::redis) struct Sentinels {
    sentinels: Vec<Address>,
    name: String,
    /// The master's login; its place is what the sentinels tell.
    master: Address,
    /// The sentinel that answered last is asked first.
    first: AtomicUsize,
    /// The master by the word of the sentinel that is listened to.
    named: watch::Sender<String>,
    listening: Once,
}

/// How often a sentinel that says nothing is asked all the same.
const LOOK: Duration = Duration::from_secs(5);
/// How long to wait where no sentinel can be listened to.
const PAUSE: Duration = Duration::from_millis(500);

impl Sentinels {
    /// `redis+sentinel://user:password@host:port,host:port/master/database?sentinel_user=..&sentinel_password=..`
    pub(in crate::store::redis) fn parse(url: &str, tls: Tls) -> Result<Self, Error> {
        let several = Several::parse(url, tls);
        let (name, database) = several.path.split_once('/').unwrap_or((several.path, ""));
        if name.is_empty() {
            return Err(Error::Configuration(
                "a redis+sentinel: URL names the master behind its hosts: redis+sentinel://host,host/master"
                    .into(),
            ));
        }
        let user = several.parameter("sentinel_user").unwrap_or_default();
        let credentials = several
            .parameter("sentinel_password")
            .map(|password| format!("{user}:{password}@"));
        Ok(Self {
            sentinels: several.addresses_for(&credentials.unwrap_or_default(), 26379)?,
            name: name.into(),
            master: several.template(database)?,
            first: AtomicUsize::new(0),
            named: watch::Sender::default(),
            listening: Once::new(),
        })
    }

    /// A connection to the master, to be left when another is named.
    pub(in crate::store::redis) async fn connect(
        self: &Arc<Self>,
        limits: Limits,
        watches: Option<Arc<Watches>>,
    ) -> Result<Arc<Generation>, String> {
        let master = self.master(limits).await?;
        let generation = Generation::connect(&master, limits, watches).await?;
        is_master(&generation).await?;
        self.guard(&generation, master.to_string());
        Ok(generation)
    }

    /// Asks one sentinel after another where the master is. No single one may take all of the time.
    async fn master(self: &Arc<Self>, limits: Limits) -> Result<Address, String> {
        self.listen(limits);
        let count = self.sentinels.len();
        let each = limits.connect / u32::try_from(count + 1).unwrap_or(u32::MAX);
        let first = self.first.load(Ordering::Relaxed);
        let mut trouble = String::new();
        for at in (first..first + count).map(|at| at % count) {
            let sentinel = &self.sentinels[at];
            let asked = async { Asked::connect(sentinel, None).await?.master(&self.name).await };
            match within(each, asked).await {
                Ok((host, port)) => {
                    self.first.store(at, Ordering::Relaxed);
                    let mut master = self.master.clone();
                    master.place = Place::Tcp { host, port };
                    return Ok(master);
                }
                Err(reason) => trouble = format!("no sentinel knows the master; {sentinel}: {reason}"),
            }
        }
        Err(trouble)
    }

    /// Once there is a first connection, a sentinel is listened to for as long as the pool lives.
    fn listen(self: &Arc<Self>, limits: Limits) {
        self.listening.call_once(|| {
            let sentinels = Arc::downgrade(self);
            background::handle().spawn(async move {
                for at in 0.. {
                    let Some(sentinel) = sentinels.upgrade().map(|known| known.at(at)) else {
                        return;
                    };
                    // Whatever went wrong, the next sentinel may do better.
                    let _ = follow(&sentinels, &sentinel, limits.connect).await;
                    background::sleep(PAUSE).await;
                }
            });
        });
    }

    fn at(&self, at: usize) -> Address {
        self.sentinels[at % self.sentinels.len()].clone()
    }

    /// Ends a connection to another server than the one that is named from now on.
    fn guard(&self, generation: &Arc<Generation>, peer: String) {
        let mut named = self.named.subscribe();
        let (ended, generation) = (generation.ended().clone(), Arc::downgrade(generation));
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = ended.acquire() => return,
                    named = named.changed() => if named.is_err() { return },
                }
                if *named.borrow_and_update() != peer {
                    if let Some(generation) = generation.upgrade() {
                        generation.end();
                    }
                    return;
                }
            }
        });
    }
}

/// A sentinel may name a server that has not yet heard of its own new role.
async fn is_master(generation: &Generation) -> Result<(), String> {
    match generation.send(&redis::cmd("ROLE")).await {
        Ok(Value::Array(role)) if role.first() == Some(&Value::BulkString("master".into())) => Ok(()),
        Ok(_) => Err("the server that the sentinels name is no master".into()),
        Err(_) => Err("the server that the sentinels name does not tell its role".into()),
    }
}

#[cfg(all(test, feature = "cluster"))]
impl Sentinels {
    /// Of a sentinel, and of the master.
    pub(in crate::store::redis) fn logins(&self) -> [&redis::RedisConnectionInfo; 2] {
        [&self.sentinels[0].login, &self.master.login]
    }
}

/// Listens to one sentinel until it fails. What it announces is only a reason to ask: a word that was missed is made up
/// for by the next look.
async fn follow(sentinels: &Weak<Sentinels>, sentinel: &Address, limit: Duration) -> Result<(), String> {
    let (heard, mut pushes) = mpsc::unbounded_channel();
    let asked = async {
        let mut asked = Asked::connect(sentinel, Some(heard)).await?;
        asked.connection.subscribe("+switch-master").await.map_err(said)?;
        Ok(asked)
    };
    let mut asked = within(limit, asked).await?;
    loop {
        let Some(name) = sentinels.upgrade().map(|sentinels| sentinels.name.clone()) else {
            return Ok(());
        };
        let (host, port) = within(limit, asked.master(&name)).await?;
        if let Some(sentinels) = sentinels.upgrade() {
            let now = format!("{host}:{port}");
            sentinels.named.send_if_modified(|named| {
                let is_news = *named != now;
                *named = now;
                is_news
            });
        }
        tokio::select! {
            () = background::sleep(LOOK) => {}
            push = pushes.recv() => if push.is_none() { return Ok(()) },
        }
    }
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the sentinels at ", self.name)?;
        for (at, sentinel) in self.sentinels.iter().enumerate() {
            write!(f, "{}{sentinel}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// A connection to a sentinel; it ends when dropped.
struct Asked {
    connection: MultiplexedConnection,
    driver: AbortHandle,
}

impl Asked {
    async fn connect(
        sentinel: &Address,
        pushes: Option<mpsc::UnboundedSender<PushInfo>>,
    ) -> Result<Self, String> {
        let stream = Counted::open(sentinel, Arc::default()).await?;
        let mut config = AsyncConnectionConfig::new().set_response_timeout(None);
        if let Some(pushes) = pushes {
            config = config.set_push_sender(pushes);
        }
        let (connection, driver) = MultiplexedConnection::new_with_config(&sentinel.login, stream, config)
            .await
            .map_err(said)?;
        let driver = tokio::spawn(driver).abort_handle();
        Ok(Self { connection, driver })
    }

    async fn master(&mut self, name: &str) -> Result<(String, u16), String> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let found: Option<(String, u16)> = command.query_async(&mut self.connection).await.map_err(said)?;
        found.ok_or_else(|| "it knows no master of this name".into())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn within<T>(limit: Duration, asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::select! {
        answer = asked => answer,
        () = background::patience(limit) => Err("no answer in time".into()),
    }
}

/// By its kind alone: a message may quote what was sent.
fn said(error: RedisError) -> String {
    error.category().into()
}
