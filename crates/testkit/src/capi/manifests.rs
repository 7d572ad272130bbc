//! Cluster API's manifests, rewritten for managers that run beside the API server instead of in pods.
//!
//! Promises: nothing but these changes: the contract labels that clusterctl would add, a URL on loopback and our
//! authority instead of a Service in webhooks and conversion, and names that do not collide.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Objects that pass through a webhook of each manager when they are created, and break no rule.
pub(super) const PROBE: &str = r"
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineHealthCheck
metadata: { name: probe, namespace: default }
spec: { clusterName: probe, selector: { matchLabels: { probe: probe } }, checks: { unhealthyNodeConditions: [ { type: Ready, status: Unknown, timeoutSeconds: 300 } ] } }
---
apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
kind: KubeadmConfig
metadata: { name: probe, namespace: default }
spec: { format: cloud-config }
---
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: KubeadmControlPlane
metadata: { name: probe, namespace: default }
spec:
  replicas: 1
  version: v1.36.3
  machineTemplate: { spec: { infrastructureRef: { apiGroup: infrastructure.cluster.x-k8s.io, kind: ProbeMachineTemplate, name: probe } } }
  kubeadmConfigSpec: { format: cloud-config }
";

/// One value for each manager.
#[derive(Debug, Clone, Copy)]
pub(super) struct Managers<T> {
    pub(super) core: T,
    pub(super) bootstrap: T,
    pub(super) control_plane: T,
}

/// Where the managers answer.
#[derive(Debug)]
pub(super) struct Webhooks {
    ports: Managers<u16>,
    /// As the API server wants it: base64 of the PEM.
    authority: String,
}

impl Webhooks {
    pub(super) fn new(ports: Managers<u16>, authority: &str) -> Self {
        Self { ports, authority: STANDARD.encode(authority) }
    }

    fn client_config(&self, provider: Provider, path: &str) -> Value {
        let port = match provider {
            Provider::Core => self.ports.core,
            Provider::Bootstrap => self.ports.bootstrap,
            Provider::ControlPlane => self.ports.control_plane,
        };
        json!({ "url": format!("https://127.0.0.1:{port}{path}"), "caBundle": self.authority })
    }
}

/// Who converts between versions.
pub(super) enum Conversion<'a> {
    None,
    Webhook(&'a Webhooks),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    Core,
    Bootstrap,
    ControlPlane,
}

impl Provider {
    const ALL: [Self; 3] = [Self::Core, Self::Bootstrap, Self::ControlPlane];

    const fn directory(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Bootstrap => "bootstrap",
            Self::ControlPlane => "controlplane",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Core => "cluster-api",
            Self::Bootstrap => "bootstrap-kubeadm",
            Self::ControlPlane => "control-plane-kubeadm",
        }
    }
}

/// All CRDs as one list.
pub(super) fn crds(manifests: &Path, conversion: &Conversion<'_>) -> Result<String> {
    let mut items = Vec::new();
    for provider in Provider::ALL {
        for path in files(&manifests.join(provider.directory()).join("crds"))? {
            for mut crd in documents(&path)? {
                rewrite_crd(&mut crd, provider, conversion).with_context(|| format!("rewrite `{}`", path.display()))?;
                items.push(crd);
            }
        }
    }
    Ok(list(&items))
}

/// All webhook configurations as one list.
pub(super) fn webhooks(manifests: &Path, webhooks: &Webhooks) -> Result<String> {
    let mut items = Vec::new();
    for provider in Provider::ALL {
        let path = manifests.join(provider.directory()).join("webhooks.yaml");
        for mut configuration in documents(&path)? {
            rewrite_webhook(&mut configuration, provider, webhooks)
                .with_context(|| format!("rewrite `{}`", path.display()))?;
            items.push(configuration);
        }
    }
    Ok(list(&items))
}

fn rewrite_crd(crd: &mut Value, provider: Provider, conversion: &Conversion<'_>) -> Result<()> {
    let versions: Vec<String> = crd
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .context("read spec.versions")?
        .iter()
        .filter_map(|version| Some(version.get("name")?.as_str()?.to_owned()))
        .collect();
    let metadata = crd.get_mut("metadata").and_then(Value::as_object_mut).context("read metadata")?;
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    labels["cluster.x-k8s.io/provider"] = json!(provider.label());
    for version in &versions {
        labels[format!("cluster.x-k8s.io/{version}")] = json!(version);
    }
    crd["spec"]["conversion"] = match conversion {
        Conversion::Webhook(webhooks) if versions.len() > 1 => json!({
            "strategy": "Webhook",
            "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": webhooks.client_config(provider, "/convert"),
            },
        }),
        Conversion::Webhook(_) | Conversion::None => json!({ "strategy": "None" }),
    };
    Ok(())
}

fn rewrite_webhook(configuration: &mut Value, provider: Provider, webhooks: &Webhooks) -> Result<()> {
    let name = configuration.pointer("/metadata/name").and_then(Value::as_str).context("read metadata.name")?;
    configuration["metadata"]["name"] = json!(format!("{}-{name}", provider.directory()));
    let hooks = configuration.get_mut("webhooks").and_then(Value::as_array_mut).context("read webhooks")?;
    for hook in hooks {
        let path = hook
            .pointer("/clientConfig/service/path")
            .and_then(Value::as_str)
            .context("read webhooks[].clientConfig.service.path")?
            .to_owned();
        hook["clientConfig"] = webhooks.client_config(provider, &path);
    }
    Ok(())
}

fn list(items: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut files = read().with_context(|| format!("read `{}`", dir.display()))?;
    files.sort();
    Ok(files)
}

fn documents(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))?;
    // Some of these CRDs are larger than what the parser's guard against hostile input lets through.
    let options = serde_saphyr::options! { budget: None };
    serde_saphyr::from_multiple_with_options(&text, options).with_context(|| format!("parse `{}`", path.display()))
}

#[cfg(test)]
mod test {
    use super::*;

    fn webhooks_at() -> Webhooks {
        Webhooks::new(Managers { core: 9443, bootstrap: 9444, control_plane: 9445 }, "CA")
    }

    #[test]
    fn a_crd_of_two_versions_is_converted_by_its_manager_and_says_both_contracts() {
        let mut crd = json!({
            "metadata": { "name": "kubeadmconfigs" },
            "spec": { "versions": [{ "name": "v1beta1" }, { "name": "v1beta2" }] },
        });
        rewrite_crd(&mut crd, Provider::Bootstrap, &Conversion::Webhook(&webhooks_at())).unwrap();
        assert_eq!(crd["metadata"]["labels"]["cluster.x-k8s.io/v1beta2"], "v1beta2");
        assert_eq!(crd["metadata"]["labels"]["cluster.x-k8s.io/provider"], "bootstrap-kubeadm");
        let config = &crd["spec"]["conversion"]["webhook"]["clientConfig"];
        assert_eq!(*config, json!({ "url": "https://127.0.0.1:9444/convert", "caBundle": "Q0E=" }));
    }

    #[test]
    fn without_managers_nothing_is_converted() {
        let mut crd = json!({
            "metadata": { "name": "clusters" },
            "spec": { "versions": [{ "name": "v1beta1" }, { "name": "v1beta2" }], "conversion": { "strategy": "Webhook" } },
        });
        rewrite_crd(&mut crd, Provider::Core, &Conversion::None).unwrap();
        assert_eq!(crd["spec"]["conversion"], json!({ "strategy": "None" }));
    }

    #[test]
    fn a_webhook_keeps_its_path_and_its_rules() {
        let mut configuration = json!({
            "metadata": { "name": "validating-webhook-configuration" },
            "webhooks": [{ "name": "a", "rules": [1], "clientConfig": { "service": { "path": "/validate-a" } } }],
        });
        rewrite_webhook(&mut configuration, Provider::ControlPlane, &webhooks_at()).unwrap();
        assert_eq!(configuration["metadata"]["name"], "controlplane-validating-webhook-configuration");
        assert_eq!(configuration["webhooks"][0]["clientConfig"]["url"], "https://127.0.0.1:9445/validate-a");
        assert_eq!(configuration["webhooks"][0]["rules"], json!([1]));
    }
}
