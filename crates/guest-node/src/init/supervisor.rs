//! What systemd would do in a guest: network, services, cloud-init, an orderly end.
//!
//! ```text
//! start ─► network ─► containerd ─► images ─┐
//!                └──► cloud-init local, init ┴─► modules ─► (kubeadm asks for the kubelet)
//! any ──(order, power button, `poweroff`)──► kubelet, keepalived, containerd end ─► said ─► end
//! ```
//!
//! Promises: one loop owns all state; a service that ends though it is wanted is started again. Assumes its own PID 1
//! to reap what services leave behind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::BufRead;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::door::{self, Reply, Request};
use super::line::{self, Order, Said};
use super::unit::Unit;
use super::{Boot, Purpose, cloud, network, pod_network};

/// How often waited-for files are looked at, and dead services' rests are over.
const BEAT: Duration = Duration::from_millis(100);

/// How long a failed service rests before the next try.
const REST: Duration = Duration::from_secs(1);

/// How long a service may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);

enum Message {
    Exited(Unit, u32),
    Asked(Request, Sender<Reply>),
    Ordered(Order),
    /// All that this boot was for is done, or cannot be.
    Done(String),
    /// The outside is gone.
    Alone,
}

#[derive(Default)]
struct State {
    wanted: bool,
    pid: Option<u32>,
    not_before: Option<Instant>,
}

struct Supervisor {
    began: Instant,
    units: BTreeMap<Unit, State>,
    tell: Sender<Message>,
    hear: Receiver<Message>,
}

pub(super) fn run(boot: &Boot) -> Result<()> {
    let began = Instant::now();
    let note = move |text: &str| note(began, text);
    rustix::system::sethostname(host_name(boot).as_bytes()).context("host name")?;
    network::settings();
    if boot.purpose == Purpose::Guest
        && let Err(err) = network::set_up(boot, &note)
    {
        note(&format!("network: {err:#}"));
    }
    let (tell, hear) = channel();
    door::open(tell.clone(), Message::Asked)?;
    listen(tell.clone());
    line::say(&Said::Userland)?;
    let imported = tell.clone();

    let units =
        Unit::ALL.into_iter().map(|unit| (unit, State { wanted: unit.wanted_at_boot(), ..State::default() })).collect();
    let mut supervisor = Supervisor { began, units, tell, hear };
    supervisor.beat();
    match boot.purpose {
        Purpose::Guest => {
            cloud::begin(boot, note);
            pod_network::begin(boot.pod_network, note);
        }
        Purpose::Import => {
            let image = boot.image.clone();
            thread::spawn(move || {
                let why = match cloud::import(&image) {
                    Ok(()) => "container images are in".to_owned(),
                    Err(err) => format!("container images: {err:#}"),
                };
                let _ = imported.send(Message::Done(why));
            });
        }
    }
    let why = supervisor.serve();
    supervisor.end();
    line::say(&Said::Ended { why })?;
    Ok(())
}

fn note(began: Instant, text: &str) {
    let seconds = format!("{:.1}", began.elapsed().as_secs_f64());
    // Nobody listening means that we are about to be killed anyway.
    let _ = line::say(&Said::Note { seconds, text: text.to_owned() });
}

fn host_name(boot: &Boot) -> String {
    let kept = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let kept = kept.trim();
    if kept.is_empty() { boot.guest.name.clone() } else { kept.to_owned() }
}

/// Hears the outside.
fn listen(tell: Sender<Message>) {
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if let Ok(order) = serde_json::from_str(&line)
                && tell.send(Message::Ordered(order)).is_err()
            {
                return;
            }
        }
        let _ = tell.send(Message::Alone);
    });
}

impl Supervisor {
    /// Until the guest is to end; says why.
    fn serve(&mut self) -> String {
        loop {
            match self.hear.recv_timeout(BEAT) {
                Ok(Message::Exited(unit, pid)) => self.exited(unit, pid),
                Ok(Message::Asked(request, answer)) => {
                    let (reply, end) = self.answer(&request);
                    let _ = answer.send(reply);
                    if let Some(why) = end {
                        return why;
                    }
                }
                Ok(Message::Ordered(Order::Shutdown)) => return "shut down by the host".to_owned(),
                Ok(Message::Ordered(Order::Go)) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Done(why)) => return why,
                Ok(Message::Alone) => return "the host is gone".to_owned(),
                Err(RecvTimeoutError::Disconnected) => return "nothing left to hear".to_owned(),
            }
            self.beat();
        }
    }

    fn exited(&mut self, unit: Unit, pid: u32) {
        let state = self.units.entry(unit).or_default();
        if state.pid == Some(pid) {
            state.pid = None;
            state.not_before = Some(Instant::now() + REST);
            if state.wanted {
                note(self.began, &format!("`{}` ended, starts again", unit.name()));
            }
        }
    }

    /// Starts what is wanted, can run and does not.
    fn beat(&mut self) {
        let now = Instant::now();
        for (&unit, state) in &mut self.units {
            let ready = unit.needs().is_none_or(Path::exists);
            let rested = state.not_before.is_none_or(|when| when <= now);
            if !(state.wanted && state.pid.is_none() && ready && rested) {
                continue;
            }
            match unit.start() {
                Ok(mut child) => {
                    let pid = child.id();
                    state.pid = Some(pid);
                    note(self.began, &format!("`{}` started", unit.name()));
                    let tell = self.tell.clone();
                    thread::spawn(move || {
                        let _ = child.wait();
                        let _ = tell.send(Message::Exited(unit, pid));
                    });
                }
                Err(err) => {
                    state.not_before = Some(now + REST);
                    note(self.began, &format!("{err:#}"));
                }
            }
        }
    }

    /// Stops a service and waits until it is gone.
    fn stop(&mut self, unit: Unit) {
        let state = self.units.entry(unit).or_default();
        state.wanted = false;
        let Some(pid) = state.pid else { return };
        signal(pid, Signal::TERM);
        let mut deadline = Instant::now() + GRACE;
        let mut later = vec![];
        while self.units[&unit].pid == Some(pid) {
            match self.hear.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Exited(unit, pid)) => self.exited(unit, pid),
                Ok(other) => later.push(other),
                Err(RecvTimeoutError::Timeout) => {
                    signal(pid, Signal::KILL);
                    deadline = Instant::now() + GRACE;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        for message in later {
            let _ = self.tell.send(message);
        }
    }

    fn end(&mut self) {
        for unit in [Unit::Keepalived, Unit::Kubelet, Unit::Containerd] {
            self.stop(unit);
        }
    }

    /// systemctl's answers; the second value ends the guest.
    fn answer(&mut self, request: &Request) -> (Reply, Option<String>) {
        let Request { verb, units, now } = request;
        let mut reply = Reply::default();
        match verb.as_str() {
            "poweroff" | "halt" | "reboot" | "shutdown" => {
                return (reply, Some(format!("`{verb}` inside the guest")));
            }
            "daemon-reload" | "daemon-reexec" | "reset-failed" => return (reply, None),
            _ => {}
        }
        for name in units {
            let Some(unit) = Unit::named(name) else {
                unknown(verb, name, &mut reply);
                continue;
            };
            let (enable, disable) = (verb == "enable", verb == "disable");
            if enable {
                let _ = fs::write(unit.enabled_file(), "");
            }
            if disable {
                let _ = fs::remove_file(unit.enabled_file());
            }
            match verb.as_str() {
                "start" => self.start(unit),
                "enable" if *now => self.start(unit),
                "stop" => self.stop(unit),
                "disable" if *now => self.stop(unit),
                "restart" | "reload-or-restart" | "try-restart" => {
                    self.stop(unit);
                    self.start(unit);
                }
                "reload" => {
                    if let Some(pid) = self.units[&unit].pid {
                        signal(pid, Signal::HUP);
                    }
                }
                "is-active" | "status" => self.state(unit, verb, &mut reply),
                "is-enabled" => {
                    let enabled = unit.enabled_file().exists() || unit.wanted_at_boot();
                    reply.out.push_str(if enabled { "enabled\n" } else { "disabled\n" });
                    reply.code |= i32::from(!enabled);
                }
                _ => {}
            }
        }
        (reply, None)
    }

    fn start(&mut self, unit: Unit) {
        let state = self.units.entry(unit).or_default();
        state.wanted = true;
        state.not_before = None;
        self.beat();
    }

    fn state(&self, unit: Unit, verb: &str, reply: &mut Reply) {
        let state = &self.units[&unit];
        let word = match (state.wanted, state.pid) {
            (_, Some(_)) => "active",
            (true, None) => "activating",
            (false, None) => "inactive",
        };
        if verb == "status" {
            let name = unit.name();
            let _ = write!(reply.out, "● {name}.service\n   Loaded: loaded\n   Active: {word}\n");
        } else {
            reply.out.push_str(word);
            reply.out.push('\n');
        }
        if word != "active" {
            reply.code = 3;
        }
    }
}

fn unknown(verb: &str, name: &str, reply: &mut Reply) {
    match verb {
        "is-active" | "is-enabled" => {
            reply.out.push_str("inactive\n");
            reply.code = 4;
        }
        "mask" | "unmask" => {}
        _ => {
            let _ = writeln!(reply.err, "Unit {name} could not be found.");
            reply.out.push_str(if verb == "status" { "Loaded: not-found\n" } else { "" });
            reply.code = if verb == "status" { 4 } else { 5 };
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Gone already is as good.
        let _ = kill_process(pid, signal);
    }
}
