//! When a control plane may be used: asked, not assumed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::ControlPlane;
use crate::eventually::{NotYet, eventually};

/// Three seconds on an idle machine; ten times that under other builds.
const READY: Duration = Duration::from_mins(2);
const ONE_LOOK: Duration = Duration::from_secs(5);

/// Waits for `/readyz`. It is open to everybody, so only the authority is needed.
pub(super) async fn apiserver(plane: &mut ControlPlane) -> Result<()> {
    let client = client(plane.authority.certificate())?;
    let url = format!("{}/readyz", plane.url());
    let processes = &mut plane.processes;
    let result = eventually(READY, || {
        let died = processes.iter_mut().find_map(|process| process.must_run().err());
        let (client, url) = (client.clone(), url.clone());
        async move {
            if let Some(death) = died {
                return Err(NotYet::never(format!("{death:#}")));
            }
            look(&client, &url).await
        }
    })
    .await;
    result.with_context(|| {
        let tails: Vec<String> =
            processes.iter().map(|process| format!("{} ends:\n{}", process.log().display(), process.tail())).collect();
        format!("wait for the API server at `{url}`\n{}", tails.join("\n"))
    })
}

/// Waits for the controller-manager's first fruit: before it, no pod is admitted.
pub(super) async fn default_service_account(plane: &mut ControlPlane) -> Result<()> {
    let result = eventually(READY, || {
        let died = plane.must_run().err();
        let kubectl = plane.kubectl_command(&["get", "serviceaccount", "default", "--namespace=default", "-o", "name"]);
        async move {
            match died {
                Some(death) => Err(NotYet::never(format!("{death:#}"))),
                None => kubectl.run().await.map(drop).map_err(NotYet::from),
            }
        }
    })
    .await;
    result.with_context(|| {
        let log = plane.log("kube-controller-manager");
        format!("wait for the default ServiceAccount\n{} ends:\n{}", log.display(), crate::process::tail(&log))
    })
}

/// One GET that must say 200.
pub(crate) async fn look(client: &reqwest::Client, url: &str) -> Result<(), NotYet> {
    let answer =
        client.get(url).send().await.map_err(|error| NotYet::because(format!("{:#}", anyhow::Error::new(error))))?;
    if answer.status().is_success() {
        return Ok(());
    }
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    let failing: Vec<&str> = text.lines().filter(|line| line.starts_with("[-]")).collect();
    Err(NotYet::because(format!("{status} {}", failing.join(" "))))
}

/// A client that trusts that authority alone and no proxy.
pub(crate) fn client(authority: &str) -> Result<reqwest::Client> {
    let mut roots = RootCertStore::empty();
    roots.add(der(authority)?).context("trust the control plane's authority")?;
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("choose TLS versions")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .timeout(ONE_LOOK)
        .build()
        .context("make a client for the control plane")
}

fn der(pem: &str) -> Result<CertificateDer<'static>> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(CertificateDer::from(STANDARD.decode(body).context("decode the authority's certificate")?))
}
