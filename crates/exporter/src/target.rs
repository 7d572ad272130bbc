//! Targets: one client for each, kept from scrape to scrape.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pve::{BaseUrl, ClientConfig, Timeouts};
use tokio_util::sync::CancellationToken;

use crate::configs::Configs;
use crate::settings::{Module, Settings};

/// So many connections are kept at most; more targets than that are a mistake, or somebody who tries addresses.
const KEPT: usize = 256;

/// One target, with one module's credentials.
#[derive(Clone)]
pub struct Target {
    pub(crate) client: pve::Client,
    pub(crate) configs: Configs,
}

/// All targets that were asked for.
pub struct Targets {
    settings: Arc<Settings>,
    open: Mutex<HashMap<(String, String), Target>>,
    token: CancellationToken,
}

/// Why a scrape cannot be made at all.
#[derive(Debug, thiserror::Error)]
pub enum BadTarget {
    /// No such module.
    #[error("module `{0}` is not in the configuration")]
    NoModule(String),
    /// Not allowed.
    #[error("target `{0}` is not among the allowed ones (--allowed-target)")]
    Forbidden(String),
    /// No address.
    #[error("target `{target}` is no host, or host and port: {why}")]
    NoAddress {
        /// What was asked for.
        target: String,
        /// What is wrong.
        why: String,
    },
    /// Too many.
    #[error("more than {KEPT} targets were asked for; name those that are meant with --allowed-target")]
    TooMany,
    /// Its client cannot be made.
    #[error("module `{module}`")]
    Config {
        /// Whose.
        module: String,
        /// Why not.
        #[source]
        source: Box<pve::ConfigError>,
    },
}

impl Targets {
    /// None yet.
    pub fn new(settings: Arc<Settings>, token: CancellationToken) -> Self {
        Self { settings, open: Mutex::default(), token }
    }

    /// The target, with a module's credentials.
    pub fn get(&self, module: &str, target: &str) -> Result<Target, BadTarget> {
        let settings = &self.settings;
        let of = settings.modules.get(module).ok_or_else(|| BadTarget::NoModule(module.to_owned()))?;
        if !allowed(&settings.allowed_targets, target) {
            return Err(BadTarget::Forbidden(target.to_owned()));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (module.to_owned(), target.to_owned());
        if let Some(target) = open.get(&key) {
            return Ok(target.clone());
        }
        if open.len() >= KEPT {
            return Err(BadTarget::TooMany);
        }
        let client = client(module, of, target)?;
        let configs = Configs::spawn(client.clone(), settings.config_refresh, self.token.clone());
        let target = Target { client, configs };
        open.insert(key, target.clone());
        Ok(target)
    }

    /// Calls over all targets.
    pub(crate) fn figures(&self) -> pve::Figures {
        let mut sum = pve::Figures::default();
        for target in self.open.lock().unwrap_or_else(PoisonError::into_inner).values() {
            sum.add(target.client.figures());
        }
        sum
    }
}

fn client(name: &str, module: &Module, target: &str) -> Result<pve::Client, BadTarget> {
    let no_address = |why: String| BadTarget::NoAddress { target: target.to_owned(), why };
    if target.contains(['/', '?', '#', '@', ' ']) {
        return Err(no_address("it holds characters that no address has".into()));
    }
    let host = if target.matches(':').count() > 1 && !target.starts_with('[') {
        format!("[{target}]")
    } else {
        target.to_owned()
    };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = if has_port { String::new() } else { format!(":{}", module.port) };
    let url: BaseUrl = format!("https://{host}{port}").parse().map_err(|why| no_address(daemon::chain(&why)))?;
    let mut config = ClientConfig::new(vec![url], module.auth.clone());
    config.trust = module.trust.clone();
    let default = Timeouts::default();
    config.timeouts = Timeouts { answer: module.timeout.unwrap_or(default.answer), ..default };
    pve::Client::new(config).map_err(|source| BadTarget::Config { module: name.to_owned(), source: Box::new(source) })
}

/// Whether the list allows the target; with or without its port.
fn allowed(list: &[String], target: &str) -> bool {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    let fits = |one: &String| match one.strip_prefix('*') {
        Some(suffix) => suffix.starts_with('.') && (host.ends_with(suffix) || target.ends_with(suffix)),
        None => one == target || one == host,
    };
    list.is_empty() || list.iter().any(fits)
}

/// What one call may take at least, so that a scrape without patience still asks.
pub(crate) const LEAST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn only_targets_of_the_list_are_allowed_and_all_without_one() {
        let list: Vec<String> = ["pve1", "10.0.0.5:8006", "*.lan", "*"].map(str::to_owned).into();
        for target in ["pve1", "pve1:8006", "10.0.0.5:8006", "pve2.lan", "pve2.lan:443"] {
            assert!(allowed(&list, target), "{target}");
        }
        for target in ["pve2", "10.0.0.5:22", "evil.example", "pve1.evil.example", "lan"] {
            assert!(!allowed(&list, target), "{target}");
        }
        assert!(allowed(&[], "anything"));
    }
}
