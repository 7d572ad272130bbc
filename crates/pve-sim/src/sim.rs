//! Starting and stopping a simulator.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, micro};
use crate::control;
use crate::faults::{Faults, Rule};
use crate::http::workers::Workers;
use crate::http::{listener, tls};
use crate::latency::Latencies;
use crate::options::Options;
use crate::record::Record;
use crate::schema::Schema;
use crate::shared::{Origin, Shared, clock};
use crate::state::contents::Contents;
use crate::state::{World, default_world};

/// The simulator; see [`Sim::start`].
#[derive(Debug)]
pub struct Sim;

/// A simulator that runs; dropping it stops it.
#[derive(Debug)]
#[must_use = "a simulator stops when it is dropped"]
pub struct Running {
    url: String,
    control_url: String,
    ca_pem: String,
    fingerprint: String,
    root_password: String,
    tokens: BTreeMap<String, String>,
    seed: u64,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Sim {
    /// Starts a simulator, on loopback unless told otherwise; when this returns it answers.
    pub async fn start(options: Options) -> anyhow::Result<Running> {
        options.check()?;
        let mut names = options.names.clone();
        if !options.listen.is_unspecified() && !options.listen.is_loopback() {
            names.push(options.listen.to_string());
        }
        let identity = tls::identity(&names)?;
        let origin =
            Origin { options: options.clone(), fingerprint: identity.fingerprint.clone(), now: micro(clock()) };
        let world = origin.world()?;
        let users = &world.access.users;
        let root_password = users.get("root@pam").and_then(|u| u.password.clone()).unwrap_or_default();
        let tokens = users
            .iter()
            .flat_map(|(user, u)| u.tokens.iter().map(move |(id, t)| (format!("{user}!{id}"), t.secret.clone())))
            .collect();
        let mut faults = Faults::new(options.seed);
        for rule in options.faults {
            let rule: Rule = serde_json::from_value(rule).context("read a rule for faults")?;
            rule.check().map_err(anyhow::Error::msg).context("read a rule for faults")?;
            faults.add(rule);
        }
        let budgets: Result<_, String> = options.budgets.iter().map(|rule| rule.parse()).collect();
        let budgets = budgets.map_err(anyhow::Error::msg)?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            workers: Workers::new(world.workers),
            patience: options.patience,
            stop: stop.clone(),
            clock: Mutex::new(Clock::new(world.now, options.clock_rate)),
            world: Mutex::new(world),
            faults: Mutex::new(faults),
            record: Mutex::new(Record::new(budgets)),
            latencies: Mutex::new(Latencies::new(options.latency, options.latencies, options.seed)),
            schema: Schema::get(),
            changed: tokio::sync::Notify::new(),
            due: AtomicU64::new(0.0_f64.to_bits()),
            login_delay: options.login_delay,
            speed: options.speed.max(0.001),
            origin,
        });
        let home = IpAddr::from(Ipv4Addr::LOCALHOST);
        let api = listen((options.listen, options.port), "--listen, --port", "the API").await?;
        let door = listen((home, options.control_port), "--control-port", "the control door").await?;
        let shown = if options.listen.is_unspecified() { home } else { options.listen };
        let url = format!("https://{}", SocketAddr::new(shown, api.local_addr()?.port()));
        let control_url = format!("http://127.0.0.1:{}", door.local_addr()?.port());
        let acceptor = TlsAcceptor::from(identity.config);
        let tasks = vec![
            tokio::spawn(listener::run(api, acceptor, Arc::clone(&shared), stop.clone())),
            tokio::spawn(control::run(door, Arc::clone(&shared), stop.clone())),
            tokio::spawn(clockwork(Arc::clone(&shared), stop.clone())),
            tokio::spawn(keeper(Arc::clone(&shared), stop.clone())),
        ];
        Ok(Running {
            url,
            control_url,
            ca_pem: identity.ca_pem,
            fingerprint: identity.fingerprint,
            root_password,
            tokens,
            seed: options.seed,
            shared,
            stop,
            tasks,
        })
    }
}

async fn listen(at: (IpAddr, u16), flag: &str, what: &str) -> anyhow::Result<TcpListener> {
    let at = SocketAddr::from(at);
    TcpListener::bind(at).await.with_context(|| format!("{flag}: listen for {what} on {at}"))
}

impl Origin {
    /// The world that the options ask for, the same each time.
    pub(crate) fn world(&self) -> anyhow::Result<World> {
        let options = &self.options;
        let Some(state) = &options.state else { return Ok(default_world::build(options, self.now, &self.fingerprint)) };
        let mut world = World::deserialize(state).context("read the state to start from")?;
        world.keep_in(Contents::new(options.backing.clone()));
        for node in &mut world.nodes {
            // Clients compare it with the certificate that they see.
            self.fingerprint.clone_into(&mut node.fingerprint);
        }
        world.reindex();
        Ok(world)
    }
}

/// Copies what is in volumes, where volumes have files, while the world goes on.
async fn keeper(shared: Arc<Shared>, stop: CancellationToken) {
    if !shared.world().contents.has_files() {
        return;
    }
    loop {
        let contents = shared.world().contents.clone();
        let mut changed = std::pin::pin!(shared.changed.notified());
        changed.as_mut().enable();
        let worked = tokio::task::spawn_blocking(move || contents.work()).await.unwrap_or(false);
        if worked {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed => {}
            () = crate::shared::pause(Duration::from_secs(1)) => {}
        }
    }
}

/// Lets time pass in the world while nobody calls.
async fn clockwork(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let mut changed = std::pin::pin!(shared.changed.notified());
        changed.as_mut().enable();
        let wait = {
            let mut world = shared.world();
            let before = world.changes;
            world.advance(shared.now());
            if world.contents.has_files() && world.changes != before {
                shared.changed.notify_waiters();
            }
            let due = world.next_due();
            let clock = shared.clock();
            // Whoever changes the clock tells us.
            let wait = if clock.frozen() { 1.0 } else { ((due - clock.now()) / clock.rate()).clamp(0.001, 1.0) };
            shared.due.store((clock.now() + wait * clock.rate()).to_bits(), Ordering::Relaxed);
            wait
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed => {}
            () = crate::shared::pause(Duration::from_secs_f64(wait)) => {}
        }
    }
}

impl Running {
    /// Where the API answers, without `/api2/json`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the control door answers, without `/sim`.
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// The certificate authority, to be trusted.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// SHA-256 of the API's certificate, `AA:BB:…`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The password of `root@pam`.
    pub fn root_password(&self) -> &str {
        &self.root_password
    }

    /// The secret of a token of the world it started with (`capi@pve!oxmox`).
    pub fn token(&self, id: &str) -> Option<&str> {
        self.tokens.get(id).map(String::as_str)
    }

    /// All tokens of the world it started with.
    pub fn tokens(&self) -> &BTreeMap<String, String> {
        &self.tokens
    }

    /// Where chance started.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A line for each of the budgets that were broken so far, with what was counted.
    pub fn broken_budgets(&self) -> Vec<String> {
        self.shared.record().broken()
    }

    /// Stops it and waits until both ports are free.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            let _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
