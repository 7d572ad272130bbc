//! What the kernel says of the machine, in `/proc` and `/sys`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;

use super::Place;
use crate::{Cgroups, Identity, Room, Seen};

fn text(place: &Place, path: &str) -> Seen<String> {
    match fs::read_to_string(place.path(path)) {
        Ok(text) => Seen::Known(text),
        Err(why) if why.kind() == ErrorKind::NotFound => Seen::Absent,
        Err(why) => Seen::Unread(format!("`{path}`: {why}")),
    }
}

/// What a part of the kernel's own files says; one that is not there is unread: every Linux has it.
fn told<T>(place: &Place, path: &str, read: impl FnOnce(&str) -> Option<T>) -> Seen<T> {
    match text(place, path) {
        Seen::Known(text) => read(&text).map_or_else(|| Seen::Unread(format!("`{path}` does not read")), Seen::Known),
        Seen::Absent => Seen::Unread(format!("`{path}` is not there")),
        Seen::Unread(why) => Seen::Unread(why),
        Seen::Unasked => Seen::Unasked,
    }
}

pub(super) fn name(place: &Place) -> Seen<String> {
    // as kubeadm takes it
    told(place, "/proc/sys/kernel/hostname", |text| Some(text.trim().to_lowercase()))
}

pub(super) fn identity(place: &Place) -> Seen<Identity> {
    let machine_id = match told(place, "/etc/machine-id", |text| Some(text.trim().to_owned())) {
        Seen::Known(id) => id,
        Seen::Absent => return Seen::Absent,
        Seen::Unread(why) => return Seen::Unread(why),
        Seen::Unasked => return Seen::Unasked,
    };
    match text(place, "/sys/class/dmi/id/product_uuid") {
        Seen::Known(uuid) => Seen::Known(Identity { machine_id, uuid: uuid.trim().to_lowercase() }),
        Seen::Absent => Seen::Known(Identity { machine_id, uuid: String::new() }),
        Seen::Unread(why) => Seen::Unread(why),
        Seen::Unasked => Seen::Unasked,
    }
}

pub(super) fn cgroups(place: &Place) -> Seen<Cgroups> {
    match text(place, "/sys/fs/cgroup/cgroup.controllers") {
        Seen::Known(text) => Seen::Known(Cgroups { controllers: text.split_whitespace().map(str::to_owned).collect() }),
        Seen::Absent => Seen::Absent,
        Seen::Unread(why) => Seen::Unread(why),
        Seen::Unasked => Seen::Unasked,
    }
}

pub(super) fn swap(place: &Place) -> Seen<Vec<String>> {
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    match text(place, "/proc/swaps") {
        // a kernel without swap
        Seen::Absent => Seen::Known(Vec::new()),
        Seen::Known(text) => Seen::Known(text.lines().skip(1).filter_map(first).collect()),
        Seen::Unread(why) => Seen::Unread(why),
        Seen::Unasked => Seen::Unasked,
    }
}

/// Lines of `/proc/net/tcp`: `sl local_address rem_address st …`, state 0A is LISTEN.
pub(super) fn listening(place: &Place) -> Seen<BTreeSet<u16>> {
    let ports = |text: &str| {
        let port = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            let (local, state) = (words.next()?, words.nth(1)?);
            (state == "0A").then(|| u16::from_str_radix(local.rsplit(':').next()?, 16).ok())?
        };
        Some(text.lines().skip(1).filter_map(port).collect::<BTreeSet<u16>>())
    };
    match told(place, "/proc/net/tcp", ports) {
        Seen::Known(mut all) => {
            // a machine may do without IPv6
            all.extend(told(place, "/proc/net/tcp6", ports).known().into_iter().flatten());
            Seen::Known(all)
        }
        other => other,
    }
}

/// Lines of `/proc/net/route`: `Iface Destination Gateway Flags …`; of `/proc/net/ipv6_route`: `destination prefix …`, the
/// interface last.
pub(super) fn default_route(place: &Place) -> Seen<bool> {
    let four = |text: &str| Some(text.lines().skip(1).any(|line| line.split_whitespace().nth(1) == Some("00000000")));
    let six = |text: &str| {
        let is = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(1) == Some(&"00") && words.last() != Some(&"lo")
        };
        Some(text.lines().any(is))
    };
    match told(place, "/proc/net/route", four) {
        Seen::Known(false) => Seen::Known(told(place, "/proc/net/ipv6_route", six).known() == Some(&true)),
        other => other,
    }
}

pub(super) fn flag(place: &Place, path: &str) -> Seen<bool> {
    match text(place, path) {
        Seen::Known(text) => Seen::Known(text.trim() == "1"),
        Seen::Absent => Seen::Absent,
        Seen::Unread(why) => Seen::Unread(why),
        Seen::Unasked => Seen::Unasked,
    }
}

pub(super) fn memory(place: &Place) -> Seen<u64> {
    told(place, "/proc/meminfo", |text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
    })
}

/// The file systems of these directories, or of what will hold them.
pub(super) fn rooms(place: &Place) -> BTreeMap<String, Seen<Room>> {
    let room = |directory: &str| {
        let path = place.path(directory);
        let there = path.ancestors().find(|path| path.exists());
        let stat = there.map(rustix::fs::statvfs);
        match stat {
            Some(Ok(stat)) => {
                Seen::Known(Room { total: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize })
            }
            Some(Err(why)) => Seen::Unread(format!("`{directory}`: {why}")),
            None => Seen::Unread(format!("`{directory}`: there is no such place")),
        }
    };
    ["/var/lib/kubelet", "/var/lib/containerd"].map(|directory| (directory.to_owned(), room(directory))).into()
}

#[cfg(test)]
mod test {
    use super::*;

    fn place(files: &[(&str, &str)]) -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let place = Place { root: dir.path().to_owned(), cri_socket: String::new() };
        (dir, place)
    }

    #[test]
    fn the_kernels_files_are_read_as_it_writes_them() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue\n   \
            0: 00000000:280A 00000000:0000 0A 00000000:00000000 00:00000000\n   \
            1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000\n";
        let route = "Iface\tDestination\tGateway \tFlags\neth0\t00000000\t0100000A\t0003\n";
        let (_dir, place) = place(&[
            ("proc/net/tcp", tcp),
            ("proc/net/route", route),
            ("proc/swaps", "Filename\tType\tSize\n/dev/sda2   partition\t100\n"),
            ("proc/meminfo", "MemTotal:        2048000 kB\nMemFree: 1 kB\n"),
            ("proc/sys/kernel/hostname", "Worker-1\n"),
            ("proc/sys/net/ipv4/ip_forward", "0\n"),
            ("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n"),
        ]);
        assert_eq!(listening(&place), Seen::Known([10250].into()), "only who listens");
        assert_eq!(default_route(&place), Seen::Known(true));
        assert_eq!(swap(&place), Seen::Known(vec!["/dev/sda2".into()]));
        assert_eq!(memory(&place), Seen::Known(2000));
        assert_eq!(name(&place), Seen::Known("worker-1".into()), "as kubeadm takes it");
        assert_eq!(flag(&place, "/proc/sys/net/ipv4/ip_forward"), Seen::Known(false));
        assert!(cgroups(&place).known().unwrap().controllers.contains("pids"));
        assert!(rooms(&place)["/var/lib/kubelet"].known().is_some());
    }

    #[test]
    fn what_is_not_there_is_told_apart_from_what_does_not_read() {
        let (_dir, place) = place(&[("proc/meminfo", "nonsense\n")]);
        assert_eq!(cgroups(&place), Seen::Absent);
        assert_eq!(swap(&place), Seen::Known(Vec::new()), "a kernel without swap");
        assert!(matches!(memory(&place), Seen::Unread(_)));
        assert!(matches!(listening(&place), Seen::Unread(_)));
    }
}
