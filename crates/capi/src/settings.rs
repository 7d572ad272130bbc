//! What the controllers need to know before they start.

use std::net::SocketAddr;
use std::time::Duration;

use pve::{Auth, BaseUrl, ClientConfig, Fingerprint, Trust};
use secrecy::SecretString;

/// Settings of the controllers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Credentials for clusters that name none.
    pub credentials: Option<Credentials>,
    /// Only objects in this namespace; `None`: in all.
    pub namespace: Option<String>,
    /// Only objects with this value of `cluster.x-k8s.io/watch-filter`.
    pub watch_filter: Option<String>,
    /// Machines that are worked on at the same time.
    pub concurrency: u16,
    /// Elect a leader by a Lease; without, one process alone must run.
    pub leader_elect: bool,
    /// Namespace of the Lease.
    pub lease_namespace: String,
    /// Where health and metrics are served; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// How often Proxmox VE is read when nothing is under way.
    pub poll_idle: Duration,
    /// How often Proxmox VE is read while machines are under way.
    pub poll_busy: Duration,
    /// How often tasks under way are read.
    pub poll_tasks: Duration,
    /// How often failed tasks of others are looked for, on each node.
    pub poll_failures: Duration,
}

/// Where a Proxmox VE is, and who we are to it. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// URLs of one cluster, tried in order.
    pub urls: Vec<String>,
    /// `user@realm!tokenid`.
    pub token: String,
    /// The token's secret.
    pub secret: SecretString,
    /// Do not verify the certificate.
    pub insecure: bool,
    /// Certificates in PEM to trust instead of the system's.
    pub root_ca: Option<String>,
    /// SHA-256 fingerprint of the server's certificate to trust instead.
    pub fingerprint: Option<String>,
}

impl Credentials {
    /// The settings of a client. The error names what cannot be used.
    pub fn config(&self) -> Result<ClientConfig, String> {
        let urls = self
            .urls
            .iter()
            .map(|url| url.parse::<BaseUrl>().map_err(|why| format!("url: {}", daemon::chain(&why))))
            .collect::<Result<Vec<_>, _>>()?;
        let auth = Auth::Token { id: self.token.clone(), secret: self.secret.clone() };
        let mut config = ClientConfig::new(urls, auth);
        config.trust = match (&self.fingerprint, &self.root_ca, self.insecure) {
            (Some(text), _, _) => Trust::Fingerprint(
                text.parse::<Fingerprint>().map_err(|why| format!("fingerprint: {}", daemon::chain(&why)))?,
            ),
            (None, Some(pem), _) => Trust::Ca(pem.clone()),
            (None, None, true) => Trust::Skip,
            (None, None, false) => Trust::System,
        };
        Ok(config)
    }
}
