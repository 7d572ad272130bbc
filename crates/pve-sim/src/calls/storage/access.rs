//! Who may read a volume, and which volume a path means.

use crate::calls::Call;
use crate::http::fail::Fail;
use crate::perm::Who;
use crate::state::World;
use crate::state::storage::name::{self, Name};

/// The right to read a volume: everybody's who may make volumes there; else by what it is and whose.
pub(crate) fn check(world: &World, who: &Who, volid: &str) -> Result<(), Fail> {
    let (id, name) = volid.split_once(':').unwrap_or((volid, ""));
    let read = name::parse(world.storage(id)?.kind().layout, name).map_err(Fail::die)?;
    let path = format!("/storage/{id}");
    if world.may(who, &path, "Datastore.Allocate") {
        return Ok(());
    }
    match (read.content, read.vmid) {
        ("iso" | "vztmpl" | "import", _) => world.need_any(who, &path, &["Datastore.AllocateSpace", "Datastore.Audit"]),
        ("backup", Some(vmid)) => {
            world.need(who, &path, &["Datastore.AllocateSpace"])?;
            world.need(who, &format!("/vms/{vmid}"), &["VM.Backup"])
        }
        ("images" | "rootdir", Some(vmid)) => {
            world.need(who, &path, &["Datastore.Audit"])?;
            world.need(who, &format!("/vms/{vmid}"), &["VM.Config.Disk"])
        }
        _ => Err(Fail::die(format!("missing privileges to access {volid}"))),
    }
}

/// A volume id out of a path or a parameter, which may leave the storage away.
pub(crate) fn volid(call: &Call<'_>, parameter: &str) -> Result<String, Fail> {
    let (volume, storage) = (call.str(parameter), call.get("storage"));
    let wrong = |text: String| Fail::param("volume", text);
    let Some((id, name)) = volume.split_once(':') else {
        let storage = storage.ok_or_else(|| wrong("no storage specified - incomplete volume ID".to_owned()))?;
        return Ok(format!("{storage}:{volume}"));
    };
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || !id.starts_with(|c: char| c.is_ascii_alphabetic()) || !id.bytes().all(fits) {
        return Err(wrong(format!("unable to parse volume ID '{volume}'\n")));
    }
    match storage {
        Some(storage) if storage != id => Err(wrong(format!("storage ID mismatch ({id} != {storage})\n"))),
        _ => Ok(volume.to_owned()),
    }
}

/// What the name of a volume says, on its storage.
pub(crate) fn read<'a>(world: &World, volid: &'a str) -> Result<Name<'a>, Fail> {
    let (id, name) = volid.split_once(':').unwrap_or((volid, ""));
    name::parse(world.storage(id)?.kind().layout, name).map_err(Fail::die)
}
