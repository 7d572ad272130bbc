//! A kubeconfig that is a ServiceAccount, so that what we test runs with the rights it will have.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::kubeconfig::{Credential, kubeconfig};
use super::{ControlPlane, write_secret};

/// Writes `NAMESPACE-NAME.kubeconfig` with a token of the TokenRequest API, good for a day. The account must exist.
pub async fn service_account_kubeconfig(plane: &ControlPlane, namespace: &str, name: &str) -> Result<PathBuf> {
    let token = plane
        .kubectl(&["create", "token", name, "--namespace", namespace, "--duration=24h"])
        .await
        .with_context(|| format!("ask for a token of the ServiceAccount `{namespace}/{name}`"))?;
    let path = plane.dir().join(format!("{namespace}-{name}.kubeconfig"));
    let text = kubeconfig(&plane.url(), plane.authority().certificate(), name, &Credential::Token(token.trim()));
    write_secret(&path, &text)?;
    Ok(path)
}
