//! Guests of a simulator: each started VM is a machine, until the simulator or we end.
//!
//! Promises: one power-on of a VM at a time; agent calls do not wait for one another; when it returns every guest is
//! off. Assumes a runtime on one thread that lives as long as the guests.

mod disks;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Result;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tracing::{info, warn};

use self::disks::Attending;
use crate::guest::{Drive, Event, Guest};
use crate::hook::Hook;
use crate::machine::agent::Agent;
use crate::machine::{self, Happening, Power, Site, route};
use crate::seed::Seed;

/// A larger volume is an installer, not a seed.
const SEED_AT_MOST: u64 = 64 << 20;

struct Running {
    run: String,
    orders: mpsc::Sender<Power>,
    agent: watch::Receiver<Option<Agent>>,
    disks: mpsc::UnboundedSender<disks::Order>,
    task: JoinHandle<()>,
}

/// What of a running VM is told to those who do something with it.
struct Tellers {
    agent: watch::Sender<Option<Agent>>,
    /// The guest's root directory, from the moment at which it is its own.
    root: watch::Sender<Option<PathBuf>>,
}

type Guests = Rc<RefCell<BTreeMap<u32, Running>>>;

/// Attaches to the simulator; returns when it ends, or when `stop` does.
pub async fn run(site: Site, hook: Hook, stop: impl Future<Output = ()>) -> Result<()> {
    LocalSet::new().run_until(serve(Rc::new(site), hook, stop)).await
}

async fn serve(site: Rc<Site>, hook: Hook, stop: impl Future<Output = ()>) -> Result<()> {
    let guests = Guests::default();
    let mut events = hook.attach().await?;
    tokio::pin!(stop);
    let outcome = loop {
        tokio::select! {
            () = &mut stop => break Ok(()),
            event = events.next() => match event {
                Ok(Some(event)) => on(&site, &hook, &guests, event),
                Ok(None) => {
                    info!("the simulator has ended");
                    break Ok(());
                }
                Err(err) => break Err(err),
            },
        }
    };
    let left = std::mem::take(&mut *guests.borrow_mut());
    info!(guests = left.len(), "powering off");
    for running in left.values() {
        let _ = running.orders.send(Power::Off).await;
    }
    for running in left.into_values() {
        let _ = running.task.await;
    }
    outcome
}

fn on(site: &Rc<Site>, hook: &Hook, guests: &Guests, event: Event) {
    match event {
        Event::Attached { running } => {
            info!(running = running.len(), "attached");
            for guest in running {
                power_on(site, hook, guests, guest);
            }
        }
        Event::PowerOn { guest } => power_on(site, hook, guests, guest),
        Event::PowerOff { vmid, run } => order(guests, vmid, &run, Power::Off),
        Event::Shutdown { vmid, run } => order(guests, vmid, &run, Power::Shutdown),
        Event::AgentCall { vmid, run, call, command, arguments } => {
            let agent =
                guests.borrow().get(&vmid).filter(|running| running.run == run).map(|r| r.agent.borrow().clone());
            let hook = hook.clone();
            spawn_local(async move {
                let answer = match agent.flatten() {
                    Some(agent) => agent.answer(&command, &arguments).await,
                    None => serde_json::json!({"error": {"class": "GenericError", "desc": "guest is not up"}}),
                };
                hook.answer(&call, &answer).await;
            });
        }
        Event::DrivePlugged { vmid, run, drive } => disk(guests, vmid, &run, disks::Order::Plug(drive)),
        Event::DriveUnplugged { vmid, run, key } => disk(guests, vmid, &run, disks::Order::Unplug(key)),
        // Nothing has changed.
        Event::UnplugRefused { .. } => {}
        Event::Destroyed { vmid } => {
            let before = guests.borrow_mut().remove(&vmid);
            let home = site.home(vmid);
            spawn_local(async move {
                if let Some(Running { orders, task, .. }) = before {
                    let _ = orders.send(Power::Off).await;
                    let _ = task.await;
                }
                if let Err(err) = machine::forget(&home) {
                    warn!(vmid, "{err:#}");
                }
            });
        }
    }
}

fn order(guests: &Guests, vmid: u32, run: &str, power: Power) {
    let guests = guests.borrow();
    let Some(running) = guests.get(&vmid).filter(|running| running.run == run) else {
        warn!(vmid, run, "no such power-on here");
        return;
    };
    if let Err(err) = running.orders.try_send(power) {
        warn!(vmid, run, "{power:?}: {err}");
    }
}

fn disk(guests: &Guests, vmid: u32, run: &str, order: disks::Order) {
    if let Some(running) = guests.borrow().get(&vmid).filter(|running| running.run == run) {
        // One that has ended has no disks any more.
        let _ = running.disks.send(order);
    } else {
        warn!(vmid, run, "no such power-on here");
    }
}

fn power_on(site: &Rc<Site>, hook: &Hook, guests: &Guests, guest: Guest) {
    let vmid = guest.vmid;
    let (orders, ordered) = mpsc::channel(8);
    let (tell_agent, agent) = watch::channel(None);
    let (tell_root, root) = watch::channel(None);
    let tell = Tellers { agent: tell_agent, root: tell_root };
    let (disks, of_disks) = mpsc::unbounded_channel();
    let run = guest.run.clone();
    let mut guests_now = guests.borrow_mut();
    let before = guests_now.remove(&vmid);
    let (site, hook) = (Rc::clone(site), hook.clone());
    let task = spawn_local(async move {
        if let Some(Running { orders, task, .. }) = before {
            let _ = orders.send(Power::Off).await;
            let _ = task.await;
        }
        one(&site, &hook, &guest, ordered, (of_disks, root), &tell).await;
    });
    guests_now.insert(vmid, Running { run, orders, agent, disks, task });
}

async fn one(
    site: &Site,
    hook: &Hook,
    guest: &Guest,
    ordered: mpsc::Receiver<Power>,
    (mut of_disks, mut root): (mpsc::UnboundedReceiver<disks::Order>, watch::Receiver<Option<PathBuf>>),
    tellers: &Tellers,
) {
    info!(vmid = guest.vmid, run = guest.run, name = guest.name, "power on");
    let seed = find_seed(hook, guest).await;
    let mut disks = Attending::begin(guest.vmid, site.home(guest.vmid), &guest.drives);
    let (tell, mut hear) = mpsc::channel(16);
    let live = machine::live(site, guest, (seed, disks.faces()), ordered, &tell);
    let disks = disks.attend(&mut of_disks, &mut root);
    tokio::pin!(live, disks);
    let mut routes = vec![];
    let mut pid = None;
    let (mut ended, mut has_disks) = (false, true);
    while !ended {
        tokio::select! {
            () = &mut live => ended = true,
            () = &mut disks, if has_disks => has_disks = false,
            Some(happening) = hear.recv() => hears(hook, guest, happening, tellers, &mut routes, &mut pid).await,
        }
    }
    tellers.agent.send_replace(None);
    route::remove(&routes);
    while let Ok(happening) = hear.try_recv() {
        hears(hook, guest, happening, tellers, &mut routes, &mut pid).await;
    }
}

async fn hears(
    hook: &Hook,
    guest: &Guest,
    happening: Happening,
    tellers: &Tellers,
    routes: &mut Vec<(String, String)>,
    pid: &mut Option<i32>,
) {
    match happening {
        Happening::Born(number) => *pid = Some(number),
        Happening::Up => {
            tellers.root.send_replace(pid.map(|pid| PathBuf::from(format!("/proc/{pid}/root"))));
            if let (true, Some(pid)) = (guest.agent, *pid) {
                tellers.agent.send_replace(Some(Agent::new(pid)));
                hook.agent_up(guest.vmid, &guest.run).await;
            }
        }
        Happening::Pods(pairs) => {
            if let Err(err) = route::add(&pairs) {
                warn!(vmid = guest.vmid, "{err:#}");
            }
            *routes = pairs;
        }
        Happening::Off(why) => {
            info!(vmid = guest.vmid, run = guest.run, why, "off");
            hook.off(guest.vmid, &guest.run, &why).await;
        }
    }
}

/// The first CD drive that holds a seed.
async fn find_seed(hook: &Hook, guest: &Guest) -> Option<Seed> {
    let small = |drive: &&Drive| drive.size.is_none_or(|size| size <= SEED_AT_MOST);
    for drive in guest.drives.iter().filter(|drive| drive.media == "cdrom").filter(small) {
        match hook.content(guest.vmid, &drive.key).await {
            Ok(Some(bytes)) => {
                if let Some(seed) = Seed::from_iso(&bytes) {
                    return Some(seed);
                }
            }
            Ok(None) => {}
            Err(err) => warn!(vmid = guest.vmid, drive = drive.key, "{err:#}"),
        }
    }
    None
}

#[cfg(test)]
mod test;
