//! What a machine is given to join with.
//!
//! * What it promises: what was parsed can be joined with as far as its words go; the token is not printed by accident.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A join bundle, as it was read and checked.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// `https://HOST:PORT` of the control plane.
    pub server: String,
    /// The bootstrap token.
    pub token: SecretString,
    /// Hashes of the authorities' public keys, `sha256:HEX`.
    pub authorities: Vec<String>,
    /// The Node's name; the host name without it.
    pub node_name: Option<String>,
    /// Labels of the Node.
    pub labels: BTreeMap<String, String>,
    /// Taints of the Node.
    pub taints: Vec<Taint>,
    /// The Node's provider ID.
    pub provider_id: Option<String>,
    /// Who describes the Node.
    pub cloud_provider: CloudProvider,
}

/// Who describes a Node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CloudProvider {
    /// Nobody but its kubelet.
    #[default]
    None,
    /// A cloud controller manager: the Node takes no pods before it was met.
    External,
}

/// A taint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule`, `NoExecute`.
    pub effect: String,
}

/// A bundle that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("join bundle, `{field}`: {why}")]
pub struct BadBundle {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// The words of the file. JSON is YAML, too.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Words {
    pub(crate) server: String,
    pub(crate) token: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ca_cert_hashes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node_name: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) taints: Vec<Taint>,
    #[serde(default, rename = "providerID", skip_serializing_if = "Option::is_none")]
    pub(crate) provider_id: Option<String>,
    #[serde(default)]
    pub(crate) cloud_provider: CloudProvider,
}

/// Prefixes of labels that a kubelet may set on its own Node among Kubernetes' own.
const OWN_LABELS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Labels that a kubelet may set though their prefix is Kubernetes' own.
const OWN_NAMES: [&str; 7] = [
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
];

impl Bundle {
    /// Reads one. The error quotes nothing of what it could not read, since a token may be in it.
    pub fn parse(text: &str) -> Result<Self, BadBundle> {
        let words: Words = serde_saphyr::from_str(text).map_err(|why| {
            let place =
                why.location().map_or_else(String::new, |at| format!(", line {}, column {}", at.line(), at.column()));
            let why = format!("it does not read{place}; `oxmox worker bundle` writes one");
            BadBundle { field: "file", why }
        })?;
        Self::check(words)
    }

    pub(crate) fn check(words: Words) -> Result<Self, BadBundle> {
        let Words { server, token, ca_cert_hashes, ca_data, node_name, labels, taints, provider_id, cloud_provider } =
            words;
        let bad = |field, why: String| Err(BadBundle { field, why });
        let host = server.strip_prefix("https://").unwrap_or_default().trim_end_matches('/');
        let uri: Option<http::Uri> = format!("https://{host}").parse().ok();
        let has_port = uri.as_ref().is_some_and(|uri| uri.port_u16().is_some() && uri.path() == "/");
        if host.is_empty() || !has_port {
            return bad("server", format!("`{server}` is not of the form https://HOST:PORT"));
        }
        if !is_token(&token) {
            return bad("token", "it is not of the form ID.SECRET, six and sixteen of a-z and 0-9".to_owned());
        }
        let mut authorities = ca_cert_hashes;
        if let Some(data) = ca_data {
            let hashes = STANDARD.decode(data.trim()).ok().and_then(|pem| authority_hash(&pem));
            match hashes {
                Some(hash) => authorities.push(hash),
                None => return bad("caData", "it is no certificate in base64, as in a kubeconfig".to_owned()),
            }
        }
        if authorities.is_empty() {
            return bad("caCertHashes", "neither it nor `caData` is there: no server could be trusted".to_owned());
        }
        let hash = |text: &&String| {
            text.strip_prefix("sha256:").is_some_and(|hex| hex::decode(hex).is_ok_and(|b| b.len() == 32))
        };
        if let Some(wrong) = authorities.iter().find(|text| !hash(text)) {
            return bad("caCertHashes", format!("`{wrong}` is not sha256: and 64 hexadecimal digits"));
        }
        if let Some(name) = node_name.as_ref().filter(|name| !is_node_name(name)) {
            return bad("nodeName", format!("`{name}` is no name of a Node: a-z, 0-9, - and ."));
        }
        if let Some(key) = labels.keys().find(|key| !may_label(key)) {
            let why =
                format!("a kubelet may not give its Node `{key}`; give it by `kubectl label node` after the join");
            return bad("labels", why);
        }
        let part = |text: &str| text.contains([',', '=', ' ']);
        if let Some((key, value)) = labels.iter().find(|(key, value)| part(key) || part(value)) {
            return bad("labels", format!("`{key}={value}` is no label"));
        }
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if let Some(taint) =
            taints.iter().find(|taint| !effects.contains(&taint.effect.as_str()) || taint.key.is_empty())
        {
            return bad(
                "taints",
                format!("`{}:{}` is none: the effect is one of {}", taint.key, taint.effect, effects.join(", ")),
            );
        }
        if let Some(id) = provider_id.as_ref().filter(|id| !id.contains("://")) {
            return bad("providerID", format!("`{id}` is not of the form PROVIDER://ID"));
        }
        let (server, token) = (format!("https://{host}"), token.into());
        Ok(Self { server, token, authorities, node_name, labels, taints, provider_id, cloud_provider })
    }

    /// `HOST:PORT`.
    pub fn endpoint(&self) -> &str {
        self.server.strip_prefix("https://").unwrap_or(&self.server)
    }

    /// The part of the token that is no secret.
    pub fn token_id(&self) -> &str {
        self.token.expose_secret().split('.').next().unwrap_or_default()
    }
}

fn is_token(text: &str) -> bool {
    let plain = |part: &str, long: usize| {
        part.len() == long && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    text.split_once('.').is_some_and(|(id, secret)| plain(id, 6) && plain(secret, 16))
}

/// A DNS subdomain (RFC 1123), as Kubernetes wants it of Nodes.
pub(crate) fn is_node_name(text: &str) -> bool {
    let label = |part: &str| {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        part.len() <= 63
            && edge(part.bytes().next())
            && edge(part.bytes().last())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Whether a kubelet may set this label: its own rule, and that of the admission plugin NodeRestriction.
fn may_label(key: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else { return true };
    let of = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    if prefix == "node-restriction.kubernetes.io" || prefix.ends_with(".node-restriction.kubernetes.io") {
        return false;
    }
    let theirs = of("kubernetes.io") || of("k8s.io");
    !theirs || OWN_LABELS.iter().any(|own| of(own)) || OWN_NAMES.contains(&key)
}

/// `sha256:HEX` of the public key of the first certificate in a PEM, as kubeadm pins it.
pub fn authority_hash(pem: &[u8]) -> Option<String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(format!("sha256:{}", hex::encode(Sha256::digest(certificate.public_key().raw))))
}

#[cfg(test)]
mod test {
    use super::*;

    const HASH: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    fn parse(change: &str) -> Result<Bundle, BadBundle> {
        let whole =
            format!("server: https://10.0.0.1:6443\ntoken: abcdef.0123456789abcdef\ncaCertHashes: ['{HASH}']\n");
        let key = change.split(':').next().unwrap();
        let kept = whole.lines().filter(|line| line.split(':').next() != Some(key)).collect::<Vec<_>>().join("\n");
        Bundle::parse(&format!("{kept}\n{change}\n"))
    }

    #[test]
    fn a_whole_bundle_reads_and_keeps_its_token_to_itself() {
        let bundle = parse("labels: {disk: ssd, node.kubernetes.io/rack: r1}").unwrap();
        assert_eq!((bundle.endpoint(), bundle.token_id()), ("10.0.0.1:6443", "abcdef"));
        assert!(!format!("{bundle:?}").contains("0123456789abcdef"), "{bundle:?}");
    }

    #[test]
    fn what_cannot_be_used_names_its_field() {
        for (change, field) in [
            ("server: http://10.0.0.1:6443", "server"),
            ("server: https://10.0.0.1", "server"),
            ("token: abcdef.0123", "token"),
            ("caCertHashes: []", "caCertHashes"),
            ("caCertHashes: ['sha256:12']", "caCertHashes"),
            ("caData: QUJD", "caData"),
            ("nodeName: Worker_1", "nodeName"),
            ("labels: {node-role.kubernetes.io/worker: ''}", "labels"),
            ("labels: {x.node-restriction.kubernetes.io/a: b}", "labels"),
            ("labels: {a: 'b,c'}", "labels"),
            ("taints: [{key: a, effect: Never}]", "taints"),
            ("providerID: '101'", "providerID"),
            ("nonsense: 1", "file"),
        ] {
            assert_eq!(parse(change).unwrap_err().field, field, "{change}");
        }
    }

    #[test]
    fn a_file_that_does_not_read_is_not_quoted() {
        let why = Bundle::parse("token: abcdef.0123456789abcdef\nserver: [").unwrap_err().to_string();
        assert!(why.contains("line") && !why.contains("0123456789abcdef"), "{why}");
    }

    #[test]
    fn the_hash_is_of_the_public_key_and_not_of_the_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let one = rcgen::CertificateParams::new(vec!["a".into()]).unwrap().self_signed(&key).unwrap();
        let other = rcgen::CertificateParams::new(vec!["b".into()]).unwrap().self_signed(&key).unwrap();
        assert_eq!(authority_hash(one.pem().as_bytes()), authority_hash(other.pem().as_bytes()));
        assert_eq!(authority_hash(b"no certificate"), None);
    }
}
