//! Networks before the real netplan, which most guests have behind cloud-init: it is handed the
//! file as it is, with `network:` around it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use nocloud::NetworkConfig;

use crate::room::{self, Room};
use crate::{fixture, packages};

struct Netplan {
    generate: PathBuf,
    libraries: OsString,
}

/// Debian's netplan, unpacked, or why there is none.
fn find() -> Result<Netplan, String> {
    let cache = room::cache().ok_or("no home directory to keep packages in")?;
    let root = packages::unpacked(&cache, "netplan.io")?;
    let names = ["usr/libexec/netplan/generate", "usr/lib/netplan/generate"];
    let generate = names.iter().map(|name| root.join(name)).find(|program| program.is_file());
    let generate = generate.ok_or("its packages have no `generate`")?;
    // One directory an architecture.
    let libraries = fs::read_dir(root.join("usr/lib")).map_err(|err| err.to_string())?;
    let libraries = libraries.filter_map(Result::ok).map(|entry| entry.path());
    let libraries = std::env::join_paths(libraries).map_err(|err| err.to_string())?;
    Ok(Netplan { generate, libraries })
}

/// What netplan writes for systemd-networkd; all files in order of their names.
fn generated(netplan: &Netplan, name: &str, network: &NetworkConfig) -> String {
    let room = Room::new(&format!("netplan-{name}"));
    let yaml = format!("network:\n{}", network.to_yaml()).trim_end().replace('\n', "\n  ");
    let file = room.write("etc/netplan/seed.yaml", &yaml);
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    let mut generate = Command::new(&netplan.generate);
    generate.env("LD_LIBRARY_PATH", &netplan.libraries).arg("--root-dir").arg(room.path(""));
    let out = generate.output().unwrap();
    let words = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{name}: {words}\n{yaml}");
    let files = fs::read_dir(room.path("run/systemd/network")).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn netplan_takes_every_network_and_keeps_its_routes() {
    let netplan = match find() {
        Ok(found) => found,
        Err(why) => {
            eprintln!("skipped: no netplan to ask: {why}");
            return;
        }
    };
    let means: [(&str, NetworkConfig, &[&str]); 8] = [
        ("static", fixture::fixed(), &["Gateway=10.10.10.1"]),
        ("dhcp", fixture::dhcp(), &["DHCP=ipv4"]),
        ("dhcp-both", fixture::dhcp_both(), &["DHCP=yes"]),
        ("two", fixture::two_nics(), &["Gateway=10.10.10.1", "Destination=10.30.0.0/16"]),
        ("ipv6", fixture::ipv6(), &["Gateway=fd00:10::1"]),
        ("dual", fixture::dual_stack(), &["Gateway=10.10.10.1", "Gateway=fd00:10::1"]),
        ("link", fixture::on_link(), &["Destination=0.0.0.0/0", "Destination=::/0", "Scope=link"]),
        ("policy", fixture::policy(), &["Table=500", "Priority=1000", "From=10.20.0.21/32"]),
    ];
    for (name, network, lines) in means {
        let made = generated(&netplan, name, &network);
        for line in lines {
            assert!(made.lines().any(|found| found == *line), "{name} lacks `{line}`:\n{made}");
        }
    }
    let made = generated(&netplan, "vrf", &fixture::vrf());
    for line in ["Kind=vrf", "VRF=storage", "Table=500", "From=10.20.0.0/16"] {
        assert!(made.lines().any(|found| found == line), "a VRF lacks `{line}`:\n{made}");
    }
}
