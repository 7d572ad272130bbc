//! Backing guests up, one after the other.
//!
//! ```text
//! lock of the node ──► for each guest: lock `backup`, log ──► archive written, lock gone, old backups pruned
//! ```
//!
//! A guest that can't be backed up does not keep the others from it; the task then ends with `job errors`.

use serde::{Deserialize, Serialize};

use super::contents::contents;
use super::{dates, prune};
use crate::jobs::{Job, Next};
use crate::state::World;
use crate::state::backup::{Archive, key};
use crate::state::guest::{Config, GuestKind, Run};
use crate::state::storage::Volume;

/// How long it waits for the backup before it.
const LOOK: f64 = 0.1;

/// A backup of some guests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Vzdump {
    pub(crate) node: String,
    pub(crate) options: Config,
    /// What the log calls the job.
    pub(crate) command: String,
    /// Still to be backed up.
    pub(crate) guests: Vec<u32>,
    /// Not here.
    pub(crate) skipped: Vec<u32>,
    pub(crate) stage: Stage,
    pub(crate) errors: u32,
}

/// How far it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    Queued { waiting: bool },
    Next,
    Writing(Writing),
}

/// The guest whose archive is being written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Writing {
    vmid: u32,
    began: f64,
    name: String,
    archive: Archive,
    /// It was off, and runs only for this.
    borrowed: bool,
    /// It ran, and was stopped or suspended for this.
    halted: bool,
}

impl Vzdump {
    fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    fn storage(&self) -> &str {
        self.option("storage").unwrap_or("local")
    }
}

fn again(work: Vzdump, after: f64) -> Next {
    Next::Again(Box::new(Job::Backup(Box::new(super::Backup::Vzdump(work)))), after)
}

pub(crate) fn step(world: &mut World, upid: &str, mut work: Vzdump, doom: Option<String>) -> Next {
    match work.stage.clone() {
        Stage::Queued { waiting } => {
            if let Err(text) = usable(world, &work) {
                return Next::Failed(text);
            }
            if busy(world, upid, &work.node) {
                if !waiting {
                    world.log(upid, "INFO: trying to get global lock - waiting...");
                }
                work.stage = Stage::Queued { waiting: true };
                return again(work, LOOK);
            }
            if waiting {
                world.log(upid, "INFO: got global lock");
            }
            world.log(upid, format!("INFO: starting new backup job: {}", work.command));
            if !work.skipped.is_empty() {
                let list: Vec<String> = work.skipped.iter().map(u32::to_string).collect();
                world.log(upid, format!("INFO: skip external VMs: {}", list.join(", ")));
            }
            if let Err(text) = may(world, upid, &mut work) {
                return Next::Failed(text);
            }
            work.stage = Stage::Next;
            again(work, 0.001)
        }
        Stage::Next => {
            if work.guests.is_empty() {
                return finish(world, upid, &work);
            }
            let vmid = work.guests.remove(0);
            match begin(world, upid, &work, vmid) {
                Ok(writing) => {
                    let time = world.pace.of("vzdump");
                    work.stage = Stage::Writing(writing);
                    again(work, time)
                }
                Err(text) => {
                    failed(world, upid, vmid, &text);
                    work.errors += 1;
                    again(work, 0.001)
                }
            }
        }
        Stage::Writing(writing) => {
            let vmid = writing.vmid;
            let result = doom.map_or(Ok(()), Err).and_then(|()| write(world, upid, &work, &writing));
            release(world, upid, &writing);
            match result {
                Ok(()) => done(world, upid, &writing),
                Err(text) => {
                    failed(world, upid, vmid, &text);
                    work.errors += 1;
                }
            }
            work.stage = Stage::Next;
            again(work, 0.001)
        }
    }
}

/// Whether the storage takes backups.
fn usable(world: &World, work: &Vzdump) -> Result<(), String> {
    let id = work.storage();
    let storage = match world.storage_on(id, &work.node) {
        Ok(storage) => storage,
        Err(fail) => {
            let text = fail.line();
            return Err(format!(
                "could not activate storage '{id}': {text} could not get storage information for '{id}': {text}"
            ));
        }
    };
    if storage.content.contains("backup") {
        return Ok(());
    }
    Err(format!(
        "could not get storage information for '{id}': can't use storage '{id}' for backups - wrong content type"
    ))
}

/// Whether an earlier backup of this node is under way.
fn busy(world: &World, upid: &str, node: &str) -> bool {
    let mine = world.tasks.get(upid).map_or(0, |t| t.order);
    let others = world.active.iter().filter_map(|u| world.tasks.get(u));
    others.into_iter().any(|t| t.kind == "vzdump" && t.node == node && t.order < mine)
}

/// Leaves out what the caller may not back up; who names a guest must be allowed to.
fn may(world: &World, upid: &str, work: &mut Vzdump) -> Result<(), String> {
    let Some(who) = world.tasks.get(upid).map(|t| t.who.clone()) else { return Ok(()) };
    let named = work.options.contains_key("vmid");
    let allowed =
        |vmid: &u32| !world.guests.contains_key(vmid) || world.may(&who, &format!("/vms/{vmid}"), "VM.Backup");
    if let Some(vmid) = work.guests.iter().find(|v| named && !allowed(v)) {
        return Err(format!("403 Permission check failed (/vms/{vmid}, VM.Backup)"));
    }
    work.guests.retain(allowed);
    Ok(())
}

fn failed(world: &mut World, upid: &str, vmid: u32, text: &str) {
    world.log(upid, format!("ERROR: Backup of VM {vmid} failed - {text}"));
    let stamp = dates::stamp(world.seconds());
    world.log(upid, format!("INFO: Failed at {stamp}"));
}

fn finish(world: &mut World, upid: &str, work: &Vzdump) -> Next {
    if work.errors > 0 {
        world.log(upid, "INFO: Backup job finished with errors");
        return Next::Failed("job errors".to_owned());
    }
    world.log(upid, "INFO: Backup job finished successfully");
    Next::Done
}

fn ending(kind: GuestKind, compress: Option<&str>) -> String {
    let base = match kind {
        GuestKind::Qemu => "vma",
        GuestKind::Lxc => "tar",
    };
    let how = match compress {
        Some("1" | "lzo") => ".lzo",
        Some("gzip") => ".gz",
        Some("zstd") => ".zst",
        _ => "",
    };
    format!("{base}{how}")
}

/// The first half: checks, locks, says what will be in the archive.
fn begin(world: &mut World, upid: &str, work: &Vzdump, vmid: u32) -> Result<Writing, String> {
    let info = |world: &mut World, line: String| world.log(upid, format!("INFO: {line}"));
    let Some(guest) = world.guests.get(&vmid).filter(|g| g.node == work.node).cloned() else {
        return Err(format!("unable to find VM '{vmid}'"));
    };
    let (now, kind) = (world.seconds(), guest.kind);
    info(world, format!("Starting Backup of VM {vmid} ({})", kind.word()));
    info(world, format!("Backup started at {}", dates::stamp(now)));
    info(world, format!("status = {}", if guest.running() { "running" } else { "stopped" }));
    if let Some(lock) = guest.get("lock") {
        return Err(format!("{} is locked ({lock})", kind.label()));
    }
    limit(world, work, vmid, kind)?;
    let mode = if guest.running() { work.option("mode").unwrap_or("snapshot") } else { "stop" };
    let contents = contents(&guest);
    // A guest that stays on is looked at before it is said how.
    if guest.running() && mode == "snapshot" {
        contents.said.iter().for_each(|line| world.log(upid, line.clone()));
    }
    info(world, format!("backup mode: {mode}"));
    if let Some(limit) = work.option("bwlimit").filter(|l| *l != "0") {
        info(world, format!("bandwidth limit: {limit} KiB/s"));
    }
    info(world, format!("ionice priority: {}", work.option("ionice").unwrap_or("7")));
    if !(guest.running() && mode == "snapshot") {
        contents.said.iter().for_each(|line| world.log(upid, line.clone()));
    }
    let storage = world.storage_on(work.storage(), &work.node).map_err(|f| f.line())?;
    let ending = ending(kind, work.option("compress"));
    let name = format!("backup/vzdump-{}-{vmid}-{}.{ending}", kind.word(), dates::name(now));
    let file = storage.file(&name);
    let halted = guest.running() && mode != "snapshot";
    if halted && mode == "stop" {
        info(world, "stopping virtual guest".to_owned());
        world.powered_off(vmid);
    } else if halted {
        info(world, "suspend vm".to_owned());
    }
    info(world, format!("creating vzdump archive '{file}'"));
    let borrowed = kind == GuestKind::Qemu && (!guest.running() || (halted && mode == "stop"));
    if kind == GuestKind::Qemu {
        if borrowed {
            info(world, "starting kvm to execute backup task".to_owned());
        } else if !guest.agent_enabled() {
            info(world, "skipping guest filesystem freeze - disabled in VM options".to_owned());
        }
        info(world, "starting backup via QMP command".to_owned());
        let id = world.chance.uuid();
        info(world, format!("started backup task '{id}'"));
        if borrowed {
            borrow(world, vmid);
        } else {
            info(world, "resuming VM again".to_owned());
        }
    }
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config.insert("lock".to_owned(), "backup".to_owned());
    }
    let mut config = guest.config;
    config.remove("lock");
    let archive = Archive { kind, vmid, config, disks: contents.disks, ctime: now };
    Ok(Writing { vmid, began: world.now, name, archive, borrowed, halted })
}

/// Runs a VM that is off, for the length of a backup; nobody at the hook hears of it.
fn borrow(world: &mut World, vmid: u32) {
    let now = world.now;
    let node = world.guests.get(&vmid).map(|g| g.node.clone()).unwrap_or_default();
    let pid = world.node_mut(&node).map_or(1, crate::state::node::Node::pid);
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.run = Some(Run { id: format!("{vmid}-backup"), since: now, pid, paused: true, ..Run::default() });
    }
}

/// Without `remove` a full set of backups is not added to.
fn limit(world: &World, work: &Vzdump, vmid: u32, kind: GuestKind) -> Result<(), String> {
    if work.option("remove") != Some("0") {
        return Ok(());
    }
    let keep = keep(world, work);
    let number = |rule: &str| keep.get(rule).and_then(|n| n.parse::<usize>().ok()).unwrap_or_default();
    let most: usize = prune::RULES.iter().map(|r| number(r)).sum();
    let there = prune::entries(world, work.storage(), &work.node, Some(vmid), Some(kind.word())).len();
    if most == 0 || there < most {
        return Ok(());
    }
    Err(format!(
        "There is a max backup limit of ({most}) enforced by the target storage or the vzdump parameters. Either \
         increase the limit or delete old backup(s)."
    ))
}

/// The rules of the call, or of the storage.
fn keep(world: &World, work: &Vzdump) -> Config {
    let of_storage = || world.storages.get(work.storage()).and_then(|s| s.more.get("prune-backups")).cloned();
    let text = work.option("prune-backups").map(str::to_owned).or_else(of_storage).unwrap_or_default();
    text.split(',').filter_map(|p| p.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// `35KB`, `12MB`, `1.50GB`.
fn short(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{}KB", bytes >> 10)
    } else if bytes < 1 << 30 {
        format!("{}MB", bytes >> 20)
    } else {
        format!("{}.{:02}GB", bytes >> 30, ((bytes & ((1 << 30) - 1)) * 100) >> 30)
    }
}

/// `128.00 MiB`, with so many digits after the point.
fn human(bytes: u64, digits: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "sizes for people")]
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.digits$} {unit}") }
}

/// The second half: the archive is there, its notes and protection too; what is too old goes.
fn write(world: &mut World, upid: &str, work: &Vzdump, writing: &Writing) -> Result<(), String> {
    let info = |world: &mut World, line: String| world.log(upid, format!("INFO: {line}"));
    let total: u64 = writing.archive.disks.iter().map(|d| d.size).sum();
    let shrink = if ["0", ""].contains(&work.option("compress").unwrap_or("0")) { 8192 } else { 32768 };
    let size = (9 << 10) + total / shrink;
    let took = seconds(world.now - writing.began);
    if writing.archive.kind == GuestKind::Qemu {
        let (all, rate) = (human(total, 1), human(total / took.max(1), 1));
        info(world, format!("100% ({all} of {all}) in {took}s, read: {rate}/s, write: 0 B/s"));
        info(world, format!("backup is sparse: {} (100%) total zero data", human(total, 2)));
        let in_time = match took {
            0 => "<1 seconds".to_owned(),
            _ => format!("{took} seconds ({rate}/s)"),
        };
        info(world, format!("transferred {} in {in_time}", human(total, 2)));
        if writing.borrowed && !writing.halted {
            info(world, "stopping kvm after backup task".to_owned());
        }
    } else {
        info(world, format!("Total bytes written: {size} ({}, 3.0MiB/s)", human(size, 0).replace(' ', "")));
    }
    let shared = world.storage_on(work.storage(), &work.node).map_err(|f| f.line())?.shared;
    let volume = Volume {
        storage: work.storage().to_owned(),
        node: (!shared).then(|| work.node.clone()),
        name: writing.name.clone(),
        content: "backup".to_owned(),
        format: writing.name.split_once('.').map_or("", |(_, e)| e).to_owned(),
        size,
        ctime: writing.archive.ctime,
        vmid: Some(writing.vmid),
        notes: notes(world, work, &writing.archive),
        protected: work.option("protected") == Some("1"),
        ..Volume::default()
    };
    let volid = volume.volid();
    world.backup.archives.insert(key(volume.node.as_deref(), &volid), writing.archive.clone());
    let (noted, protected) = (volume.notes.is_some(), volume.protected);
    world.volumes.insert(volume);
    info(world, format!("archive file size: {}", short(size)));
    if noted {
        info(world, "adding notes to backup".to_owned());
    }
    if protected {
        info(world, "marking backup as protected".to_owned());
    }
    if work.option("remove") != Some("0") {
        prune(world, upid, work, writing);
    }
    Ok(())
}

fn prune(world: &mut World, upid: &str, work: &Vzdump, writing: &Writing) {
    let keep = keep(world, work);
    let rules: Vec<String> =
        prune::RULES.iter().filter_map(|r| keep.get(*r).filter(|n| *n != "0").map(|n| format!("{r}={n}"))).collect();
    if rules.is_empty() || keep.get("keep-all").is_some_and(|a| a == "1") {
        return;
    }
    world.log(upid, format!("INFO: prune older backups with retention: {}", rules.join(", ")));
    let kind = writing.archive.kind.word();
    let mut entries = prune::entries(world, work.storage(), &work.node, Some(writing.vmid), Some(kind));
    prune::mark(&mut entries, &keep);
    let gone = prune::remove(world, &work.node, &entries);
    for volid in &gone {
        world.log(upid, format!("INFO: removing backup '{volid}'"));
    }
    world.log(upid, format!("INFO: pruned {} backup(s) not covered by keep-retention policy", gone.len()));
}

/// The notes that a template gives; none without one.
fn notes(world: &World, work: &Vzdump, archive: &Archive) -> Option<String> {
    let template = work.option("notes-template").filter(|t| !t.is_empty())?;
    let key = match archive.kind {
        GuestKind::Qemu => "name",
        GuestKind::Lxc => "hostname",
    };
    let unnamed = format!("{} {}", archive.kind.label(), archive.vmid);
    let guest = archive.config.get(key).unwrap_or(&unnamed);
    let cluster = if world.nodes.len() > 1 { world.cluster.name.as_str() } else { "standalone node" };
    let vmid = archive.vmid.to_string();
    let text = template.replace("\\n", "\n").replace("\\\\", "\\");
    let words = [("cluster", cluster), ("guestname", guest), ("node", &work.node), ("vmid", &vmid)];
    Some(words.iter().fold(text, |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value)))
}

/// Gives the guest back as it was.
fn release(world: &mut World, upid: &str, writing: &Writing) {
    let vmid = writing.vmid;
    let Some(guest) = world.guests.get_mut(&vmid) else { return };
    if guest.get("lock") == Some("backup") {
        guest.config.remove("lock");
    }
    if writing.borrowed && guest.run.as_ref().is_some_and(|r| r.id.ends_with("-backup")) {
        guest.run = None;
    }
    if !writing.halted {
        return;
    }
    if guest.run.is_none() {
        world.log(upid, "INFO: restarting vm");
        world.power_on(vmid);
    } else {
        world.log(upid, "INFO: resume vm");
    }
    let took = seconds(world.now - writing.began);
    world.log(upid, format!("INFO: guest is online again after {took} seconds"));
}

fn done(world: &mut World, upid: &str, writing: &Writing) {
    let clock = dates::clock(seconds(world.now - writing.began));
    world.log(upid, format!("INFO: Finished Backup of VM {} ({clock})", writing.vmid));
    let stamp = dates::stamp(world.seconds());
    world.log(upid, format!("INFO: Backup finished at {stamp}"));
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a task")]
fn seconds(span: f64) -> u64 {
    span.max(0.0) as u64
}
