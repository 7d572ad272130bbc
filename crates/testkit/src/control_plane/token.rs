//! A kubeconfig that is a ServiceAccount, so that what we test runs with the rights it will have.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

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

/// The text of a kubeconfig for the same cluster as `kubeconfig` (its text, with one cluster) names, with a bearer token.
pub fn token_kubeconfig(kubeconfig: &str, user: &str, token: &str) -> Result<String> {
    let mut config: Value = serde_saphyr::from_str(kubeconfig).context("read the kubeconfig")?;
    let cluster = config.pointer("/clusters/0/name").and_then(Value::as_str).map(ToOwned::to_owned);
    let cluster = cluster.context("the kubeconfig names no cluster")?;
    config["users"] = json!([{ "name": user, "user": { "token": token } }]);
    config["contexts"] = json!([{ "name": user, "context": { "cluster": cluster, "user": user } }]);
    config["current-context"] = json!(user);
    Ok(format!("{config:#}\n"))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_accounts_kubeconfig_names_the_same_cluster_and_nobody_elses_credentials() {
        let admin = "clusters: [{name: c, cluster: {server: 'https://a:6443', certificate-authority-data: QQ==}}]\n\
                     users: [{name: admin, user: {client-key-data: SECRET}}]\ncontexts: []\n";
        let text = token_kubeconfig(admin, "oxmox-ccm", "T").unwrap();
        assert!(!text.contains("SECRET") && text.contains("https://a:6443"), "{text}");
        let config: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(config["users"][0]["user"]["token"], "T");
        assert_eq!(config["contexts"][0]["context"]["cluster"], "c");
        assert!(token_kubeconfig("{}", "a", "T").is_err());
    }
}
