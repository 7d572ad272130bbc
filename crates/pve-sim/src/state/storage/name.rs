//! Names of volumes: what a name says of its volume, by the layout of the storage.
//!
//! Promises the complaints of Proxmox VE about names that it can't read.

use super::kind::Layout;

/// What a name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    /// `images`, `iso`, `vztmpl`, `backup`, `snippets`, `import`, `rootdir`.
    pub(crate) content: &'static str,
    pub(crate) file: &'a str,
    pub(crate) vmid: Option<u32>,
    /// The base of a linked clone.
    pub(crate) parent: Option<&'a str>,
    pub(crate) is_base: bool,
    pub(crate) format: &'a str,
}

const ISO: [&str; 2] = [".iso", ".img"];
pub(crate) const TEMPLATES: [&str; 5] = [".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2", ".tar"];
pub(crate) const IMPORTS: [&str; 5] = [".ova", ".ovf", ".qcow2", ".raw", ".vmdk"];
const COMPRESSIONS: [&str; 4] = ["gz", "lzo", "zst", "bz2"];

fn number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

fn blank(text: &str) -> bool {
    text.is_empty() || text.contains(char::is_whitespace)
}

/// The ending of a backup's name, as lists show it: `vma.zst`, `tar`, `tgz`.
pub(crate) fn backup_ending(file: &str) -> Option<&str> {
    let endings = ["tgz", "tar", "vma"];
    for ending in endings {
        if let Some(at) = file.rfind(&format!(".{ending}")) {
            let found = &file[at + 1..];
            let rest = &found[ending.len()..];
            let compressed = rest.strip_prefix('.').is_some_and(|c| ending != "tgz" && COMPRESSIONS.contains(&c));
            if rest.is_empty() || compressed {
                return Some(found);
            }
        }
    }
    None
}

/// The guest and the kind of guest (`qemu`, `lxc`) that a backup's name tells.
pub(crate) fn backup_of(file: &str) -> Option<(&'static str, u32)> {
    let rest = file.strip_prefix("vzdump-")?;
    let (kind, rest) = rest.split_once('-')?;
    let kind = ["qemu", "lxc", "openvz"].into_iter().find(|k| *k == kind)?;
    let vmid = number(rest.split('-').next()?)?;
    Some((kind, vmid))
}

pub(crate) fn ends_with_any(file: &str, endings: &[&'static str]) -> Option<&'static str> {
    let lower = file.to_lowercase();
    endings.iter().find(|e| lower.ends_with(*e) && file.len() > e.len() && !file.contains('/')).copied()
}

/// Reads the file name of an image in a directory: its format, and whether it is a base.
pub(crate) fn image_file(file: &str) -> Result<(&str, bool), String> {
    let wrong = || format!("unable to parse volume filename '{file}'");
    let (stem, format) = file.rsplit_once('.').ok_or_else(wrong)?;
    let known = ["raw", "qcow2", "vmdk", "subvol"].contains(&format);
    if !known || stem.is_empty() || file.contains('/') || blank(file) || stem == "base-" {
        return Err(wrong());
    }
    Ok((format, file.starts_with("base-")))
}

/// Reads a name.
pub(crate) fn parse(layout: Layout, name: &str) -> Result<Name<'_>, String> {
    match layout {
        Layout::Files => file(name),
        Layout::Lvm => lvm(name, &["vm-"]),
        Layout::LvmThin => lvm(name, &["vm-", "base-"]),
        Layout::Zfs => {
            let prefixes = ["base-", "basevol-", "vm-", "subvol-"];
            based(name, &prefixes, &["base-", "basevol-"])
                .ok_or_else(|| format!("unable to parse zfs volume name '{name}'"))
        }
        Layout::Rbd => based(name, &["base-", "vm-"], &["base-"])
            .ok_or_else(|| format!("unable to parse rbd volume name '{name}'")),
        Layout::Iscsi => {
            let mut parts = name.splitn(4, '.');
            let numbers = (0..3).all(|_| parts.next().and_then(number).is_some());
            match parts.next().filter(|rest| numbers && !blank(rest)) {
                Some(_) => Ok(image(name, None, None, false, "raw")),
                None => Err(format!("unable to parse iscsi volume name '{name}'")),
            }
        }
        Layout::IscsiDirect => match name.strip_prefix("lun").and_then(number) {
            Some(_) => Ok(image(name, None, None, false, "raw")),
            None => Err(format!("unable to parse iscsi volume name '{name}'")),
        },
        Layout::BackupServer => backup_server(name).ok_or_else(|| format!("unable to parse PBS volume name '{name}'")),
        Layout::Esxi => match name.rsplit_once('.').filter(|(stem, _)| stem.matches('/').count() >= 2) {
            Some((_, format)) => Ok(Name { content: "import", ..image(name, None, None, false, format) }),
            None => Err(format!("failed to parse esxi volume name '{name}'")),
        },
    }
}

fn image<'a>(file: &'a str, vmid: Option<u32>, parent: Option<&'a str>, is_base: bool, format: &'a str) -> Name<'a> {
    Name { content: "images", file, vmid, parent, is_base, format }
}

fn file(name: &str) -> Result<Name<'_>, String> {
    let wrong = || format!("unable to parse directory volume name '{name}'");
    let (folder, rest) = name.split_once('/').ok_or_else(wrong)?;
    if number(folder).is_some() {
        if blank(rest) {
            return Err(wrong());
        }
        // A linked clone is `BASEVMID/base/VMID/clone`.
        if let Some((front, file)) = rest.rsplit_once('/')
            && let Some((base, vmid)) = front.rsplit_once('/')
            && let Some(vmid) = number(vmid)
        {
            image_file(base)?;
            let (format, is_base) = image_file(file)?;
            return Ok(image(file, Some(vmid), Some(&name[..folder.len() + 1 + base.len()]), is_base, format));
        }
        let (format, is_base) = image_file(rest)?;
        return Ok(image(rest, number(folder), None, is_base, format));
    }
    let plain = |content: &'static str, vmid, format| Name { content, vmid, ..image(rest, None, None, false, format) };
    match folder {
        "iso" => ends_with_any(rest, &ISO).map(|_| plain("iso", None, "raw")),
        "vztmpl" => ends_with_any(rest, &TEMPLATES).map(|_| plain("vztmpl", None, "raw")),
        "rootdir" => number(rest).map(|vmid| plain("rootdir", Some(vmid), "subvol")),
        "backup" => backup_ending(rest)
            .filter(|_| !rest.contains('/'))
            .map(|_| plain("backup", backup_of(rest).map(|(_, vmid)| vmid), "raw")),
        "snippets" => (!rest.is_empty() && !rest.contains('/')).then(|| plain("snippets", None, "raw")),
        "import" => import(rest).map(|format| plain("import", None, format)),
        _ => None,
    }
    .ok_or_else(wrong)
}

fn import(rest: &str) -> Option<&str> {
    let safe =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" -.+=_".contains(&b));
    if let Some((archive, disk)) = rest.split_once('/') {
        let format = disk.rsplit_once('.').map(|(_, f)| f).filter(|f| ["qcow2", "raw", "vmdk"].contains(f))?;
        return (archive.strip_suffix(".ova").is_some() && safe(archive) && safe(disk)).then_some(format);
    }
    let ending = IMPORTS.iter().find(|e| rest.ends_with(*e) && rest.len() > e.len())?;
    safe(rest).then_some(&ending[1..])
}

fn lvm<'a>(name: &'a str, prefixes: &[&str]) -> Result<Name<'a>, String> {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.len() < 2 || !edge(name.bytes().next()) || !edge(name.bytes().last()) || !name.bytes().all(inner) {
        return Err(format!("lvm name '{name}' contains illegal characters"));
    }
    let vmid = prefixes.iter().find_map(|p| owned(name, p));
    let vmid = vmid.ok_or_else(|| format!("unable to parse lvm volume name '{name}'"))?;
    let qcow2 = prefixes.len() == 1 && name.strip_suffix(".qcow2").is_some();
    Ok(image(name, Some(vmid), None, name.starts_with("base-"), if qcow2 { "qcow2" } else { "raw" }))
}

/// The number in `PREFIXnumber-rest`.
fn owned(name: &str, prefix: &str) -> Option<u32> {
    let (vmid, rest) = name.strip_prefix(prefix)?.split_once('-')?;
    number(vmid).filter(|_| !blank(rest))
}

/// `BASE/NAME` or `NAME`.
fn based<'a>(name: &'a str, prefixes: &[&str], bases: &[&str]) -> Option<Name<'a>> {
    let (parent, file) = match name.split_once('/') {
        Some((parent, file)) => (Some(parent), file),
        None => (None, name),
    };
    if parent.is_some_and(|p| bases.iter().all(|b| owned(p, b).is_none())) || file.contains('/') {
        return None;
    }
    let vmid = prefixes.iter().find_map(|p| owned(file, p))?;
    let is_base = bases.iter().any(|b| file.starts_with(b));
    let subvol = file.starts_with("subvol-") || file.starts_with("basevol-");
    Some(image(file, Some(vmid), parent, is_base, if subvol { "subvol" } else { "raw" }))
}

fn backup_server(name: &str) -> Option<Name<'_>> {
    let mut parts = name.strip_prefix("backup/")?.split('/');
    let (kind, id, time) = (parts.next()?, parts.next()?, parts.next()?);
    let stamp = time.len() == 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T';
    if parts.next().is_some() || blank(kind) || blank(id) || !stamp {
        return None;
    }
    let format = if kind == "vm" { "pbs-vm" } else { "pbs-ct" };
    let vmid = number(id).filter(|_| kind == "vm" || kind == "ct");
    Some(Name { content: "backup", vmid, ..image(name, None, None, false, format) })
}

/// The guest that a volume belongs to, whatever the storage: by its folder, else by its name.
pub(crate) fn owner(name: &str) -> Option<u32> {
    if let Some(file) = name.strip_prefix("backup/") {
        return backup_of(file).map(|(_, vmid)| vmid);
    }
    if let Some((front, _)) = name.rsplit_once('/')
        && let Some(vmid) = number(front.rsplit('/').next().unwrap_or(front))
    {
        return Some(vmid);
    }
    let file = name.rsplit('/').next()?;
    ["vm-", "base-", "subvol-", "basevol-"].iter().find_map(|p| owned(file, p))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_linked_clone_names_its_base_on_files_zfs_and_rbd_but_not_on_lvm() {
        let clone = parse(Layout::Files, "9000/base-9000-disk-0.raw/204/vm-204-disk-0.qcow2").unwrap();
        assert_eq!(clone.parent, Some("9000/base-9000-disk-0.raw"));
        assert_eq!((clone.vmid, clone.format), (Some(204), "qcow2"));
        let clone = parse(Layout::Rbd, "base-9000-disk-0/vm-204-disk-0").unwrap();
        assert_eq!((clone.parent, clone.vmid), (Some("base-9000-disk-0"), Some(204)));
        let clone = parse(Layout::Zfs, "basevol-9000-disk-0/subvol-204-disk-0").unwrap();
        assert_eq!((clone.parent, clone.format), (Some("basevol-9000-disk-0"), "subvol"));
        assert!(parse(Layout::LvmThin, "base-9000-disk-0/vm-204-disk-0").is_err());
    }

    #[test]
    fn names_that_do_not_fit_the_storage_are_refused_in_its_words() {
        let wrong = |layout, name| parse(layout, name).unwrap_err();
        assert_eq!(wrong(Layout::Lvm, "base-100-disk-0"), "unable to parse lvm volume name 'base-100-disk-0'");
        assert_eq!(wrong(Layout::Rbd, "200G"), "unable to parse rbd volume name '200G'");
        assert_eq!(wrong(Layout::Files, "vm-100-disk-0"), "unable to parse directory volume name 'vm-100-disk-0'");
        assert_eq!(wrong(Layout::Files, "100/vm-100-disk-0"), "unable to parse volume filename 'vm-100-disk-0'");
        assert_eq!(wrong(Layout::Files, "iso/a.txt"), "unable to parse directory volume name 'iso/a.txt'");
    }

    #[test]
    fn the_folder_owns_a_file_and_the_name_owns_a_block_volume() {
        assert_eq!(owner("9100/vm-9999-x.raw"), Some(9100));
        assert_eq!(owner("9000/base-9000-disk-0.raw/204/vm-204-disk-0.qcow2"), Some(204));
        assert_eq!(owner("base-9000-disk-0/vm-204-disk-0"), Some(204));
        assert_eq!(owner("backup/vzdump-lxc-310-2026_01_02-03_04_05.tar.zst"), Some(310));
        assert_eq!(owner("iso/debian.iso"), None);
    }

    #[test]
    fn endings_of_backups() {
        assert_eq!(backup_ending("vzdump-qemu-310-x.vma.zst"), Some("vma.zst"));
        assert_eq!(backup_ending("a.tgz"), Some("tgz"));
        assert_eq!(backup_ending("a.vma.foo"), None);
        assert_eq!(backup_ending("a.tar"), Some("tar"));
    }
}
