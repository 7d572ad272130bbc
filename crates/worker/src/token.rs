//! A bundle, made where a kubeconfig is: a bootstrap token of its own, and the cluster's authority.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::Kubeconfig;
use kube::{Client, ResourceExt as _};
use serde_json::Value;

use crate::bundle::Words;
use crate::{BadBundle, Bundle, CloudProvider, Taint};

const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Whom kubeadm gives the rights that a join needs.
const GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

/// What a bundle is to say beside server, token and authority.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The API server as nodes reach it; the one of `kube-public/cluster-info` without it.
    pub server: Option<String>,
    /// The Node's name.
    pub node_name: Option<String>,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Its provider ID.
    pub provider_id: Option<String>,
    /// Who describes it.
    pub cloud_provider: CloudProvider,
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster says nothing of itself.
    #[error(
        "read ConfigMap `kube-public/cluster-info`\nhint: `kubeadm init phase bootstrap-token` on the control plane makes it"
    )]
    Info(#[source] Box<kube::Error>),
    /// It says too little.
    #[error("ConfigMap `kube-public/cluster-info` has no {0} in its `kubeconfig`")]
    Poor(&'static str),
    /// The token could not be stored.
    #[error("create Secret `kube-system/{name}`")]
    Secret {
        /// Its name.
        name: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The wish cannot be.
    #[error(transparent)]
    Bad(#[from] BadBundle),
}

/// A token from 22 bytes of chance.
pub fn token_from(chance: [u8; 22]) -> String {
    // 36 letters of 256 values: of seven bits' bias nobody can make anything in a token that lives for an hour
    let letters: String = chance.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect();
    let (id, secret) = letters.split_at(6);
    format!("{id}.{secret}")
}

/// Stores the token until `expires`, and writes the bundle (JSON, which is YAML). Nothing is stored when the wish cannot be.
pub async fn make(client: &Client, wish: Wish, token: &str, expires: Timestamp) -> Result<String, Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    let info = maps.get("cluster-info").await.map_err(|why| Error::Info(Box::new(why)))?;
    let text = info.data.and_then(|mut data| data.remove("kubeconfig")).ok_or(Error::Poor("text"))?;
    let kubeconfig = Kubeconfig::from_yaml(&text).map_err(|_| Error::Poor("kubeconfig that reads"))?;
    let cluster = kubeconfig.clusters.into_iter().next().and_then(|one| one.cluster).ok_or(Error::Poor("cluster"))?;
    let authority = cluster.certificate_authority_data.ok_or(Error::Poor("authority"))?;
    let Wish { server, node_name, labels, taints, provider_id, cloud_provider } = wish;
    let words = Words {
        server: server.or(cluster.server).ok_or(Error::Poor("server"))?,
        token: token.to_owned(),
        ca_cert_hashes: Vec::new(),
        ca_data: Some(authority),
        node_name,
        labels,
        taints,
        provider_id,
        cloud_provider,
    };
    Bundle::check(words.clone())?;
    let secret = secret(token, expires, words.node_name.as_deref());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "kube-system");
    let name = secret.name_any();
    let stored = secrets.create(&PostParams::default(), &secret).await;
    stored.map_err(|why| Error::Secret { name, source: Box::new(why) })?;
    let value: Value = serde_json::to_value(&words).unwrap_or_default();
    Ok(format!("{value:#}\n"))
}

/// The Secret of a bootstrap token, as Kubernetes' token authenticator and signer read it.
fn secret(token: &str, expires: Timestamp, node: Option<&str>) -> Secret {
    let (id, rest) = token.split_once('.').unwrap_or((token, ""));
    let of = node.map_or_else(String::new, |node| format!(" for `{node}`"));
    let data = [
        ("token-id", id.to_owned()),
        ("token-secret", rest.to_owned()),
        ("expiration", expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ("usage-bootstrap-authentication", "true".to_owned()),
        ("usage-bootstrap-signing", "true".to_owned()),
        ("auth-extra-groups", GROUP.to_owned()),
        ("description", format!("made by `oxmox worker bundle`{of}")),
    ];
    Secret {
        metadata: ObjectMeta {
            name: Some(format!("bootstrap-token-{id}")),
            namespace: Some("kube-system".to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("bootstrap.kubernetes.io/token".to_owned()),
        data: Some(data.map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).into()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn chance_becomes_a_token_of_kubernetes_form() {
        let token = token_from([255; 22]);
        assert_eq!((token.len(), token.find('.')), (23, Some(6)));
        assert_ne!(token_from([0; 22]), token);
        assert!(token.bytes().all(|b| b == b'.' || b.is_ascii_lowercase() || b.is_ascii_digit()), "{token}");
    }

    #[test]
    fn a_stored_token_expires_and_may_do_what_kubeadm_wants_of_it() {
        let secret = secret("abcdef.0123456789abcdef", "2026-11-26T08:00:00Z".parse().unwrap(), Some("w-0"));
        let data = secret.data.unwrap();
        let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
        assert_eq!(secret.metadata.name.as_deref(), Some("bootstrap-token-abcdef"));
        assert_eq!((text("token-id"), text("token-secret")), ("abcdef".into(), "0123456789abcdef".into()));
        assert_eq!(text("expiration"), "2026-11-26T08:00:00Z");
        assert_eq!(text("auth-extra-groups"), GROUP);
    }
}
