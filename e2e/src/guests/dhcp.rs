//! A real DHCP server on the bridge: busybox udhcpd.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use testkit::{Process, ProcessSpec};

/// One lease, as the server has written it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose.
    pub mac: String,
    /// Which.
    pub address: Ipv4Addr,
}

/// A running server.
pub struct Dhcp {
    process: Process,
    leases: PathBuf,
}

impl Dhcp {
    /// Serves 10.10.100.10 to .50 on the bridge.
    pub fn start(dir: &Path) -> Result<Self> {
        let leases = dir.join("udhcpd.leases");
        std::fs::write(&leases, "").context("make the lease file")?;
        let config = dir.join("udhcpd.conf");
        // `auto_time`: the lease file is written every second
        let text = format!(
            "start 10.10.100.10\nend 10.10.100.50\ninterface {}\nlease_file {}\npidfile {}\nauto_time 1\n\
             opt subnet 255.255.0.0\nopt router 10.10.0.1\nopt dns 10.10.0.1\nopt lease 3600\n",
            super::BRIDGE,
            leases.display(),
            dir.join("udhcpd.pid").display(),
        );
        std::fs::write(&config, text).context("write udhcpd's configuration")?;
        let process = ProcessSpec::new("udhcpd", "busybox", dir.join("udhcpd.log"))
            .args(["udhcpd", "-f", "-a", "100"])
            .arg(&config)
            .start()?;
        Ok(Self { process, leases })
    }

    /// The leases that it has given.
    pub async fn leases(&self) -> Result<Vec<Lease>> {
        let mut command = tokio::process::Command::new("busybox");
        let output = command.args(["dumpleases", "-f"]).arg(&self.leases).output().await.context("start `busybox`")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`dumpleases`: {}", error.trim());
        Ok(parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Ends it.
    pub async fn end(self) -> Result<()> {
        self.process.kill().await.map(drop)
    }
}

/// A head line, then `MAC address host expires`, the host's name perhaps empty.
fn parse(text: &str) -> Vec<Lease> {
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        Some(Lease { mac: words.next()?.to_lowercase(), address: words.next()?.parse().ok()? })
    };
    text.lines().filter_map(one).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_servers_list_is_read_without_its_head() {
        let text = "Mac Address       IP Address      Host Name           Expires in\n\
                    BC:24:11:e9:82:92 10.10.100.10                        00:59:58\n";
        let lease = Lease { mac: "bc:24:11:e9:82:92".into(), address: Ipv4Addr::new(10, 10, 100, 10) };
        assert_eq!(parse(text), [lease]);
    }
}
