//! One guest by hand, without a simulator: for a look inside.
//!
//! Promises: the same life as under a simulator; what happens is told on standard error. Orders come from standard
//! input: `off`, `shutdown`, `exec WORDS…`, or any agent command with its arguments as JSON.

use anyhow::Result;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::guest::Guest;
use crate::machine::agent::Agent;
use crate::machine::disk::Disks;
use crate::machine::{self, Happening, Power, Site, route};
use crate::seed::Seed;

/// Boots it; returns when it is off.
pub async fn boot_one(site: &Site, guest: &Guest, seed: Option<Seed>, stop: impl Future<Output = ()>) -> Result<()> {
    let (orders, ordered) = mpsc::channel(8);
    let mut disks = Disks::new(site.home(guest.vmid));
    for drive in &guest.drives {
        disks.plug(drive, None)?;
    }
    let (tell, mut hear) = mpsc::channel(16);
    let live = machine::live(site, guest, (seed, disks.faces()), ordered, &tell);
    tokio::pin!(live, stop);
    let mut words = Some(BufReader::new(tokio::io::stdin()).lines());
    let mut agent = None;
    let mut routes = vec![];
    let mut stopping = false;
    loop {
        let next = async {
            match &mut words {
                Some(lines) => lines.next_line().await.ok().flatten(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut live => break,
            () = &mut stop, if !stopping => {
                stopping = true;
                let _ = orders.send(Power::Off).await;
            }
            Some(happening) = hear.recv() => match happening {
                Happening::Born(pid) => {
                    info!(pid, "born");
                    agent = Some(Agent::new(pid));
                }
                Happening::Up => info!("userland is up"),
                Happening::Pods(pairs) => {
                    info!(?pairs, "routes to pods");
                    if let Err(err) = route::add(&pairs) {
                        warn!("{err:#}");
                    }
                    routes = pairs;
                }
                Happening::Off(why) => info!(why, "off"),
            },
            text = next => match text.as_deref().map(str::trim) {
                None => words = None,
                Some("off") => { let _ = orders.send(Power::Off).await; }
                Some("shutdown") => { let _ = orders.send(Power::Shutdown).await; }
                Some(text) => if let Some(agent) = &agent { order(agent, text).await?; },
            },
        }
    }
    route::remove(&routes);
    while let Ok(happening) = hear.try_recv() {
        info!(?happening);
    }
    Ok(())
}

async fn order(agent: &Agent, text: &str) -> Result<()> {
    let said = if let Some(words) = text.strip_prefix("exec ") {
        let words: Vec<&str> = words.split_whitespace().collect();
        let output = agent.inside(&words).output().await?;
        [output.stdout, output.stderr].concat()
    } else {
        let (command, arguments) = text.split_once(' ').unwrap_or((text, "null"));
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        format!("{}\n", agent.answer(command, &arguments).await).into_bytes()
    };
    let mut out = tokio::io::stdout();
    out.write_all(&said).await?;
    out.flush().await?;
    Ok(())
}
