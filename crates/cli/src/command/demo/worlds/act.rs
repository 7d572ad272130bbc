//! The lab that worlds are made on: what its names stand for, and doing what a world's data says.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use testkit::{NotYet, eventually, service_account_kubeconfig};

use super::world::Do;
use crate::command::demo::set::Set;
use crate::command::demo::stages::CLUSTER;
use crate::command::demo::workload::Workload;

/// Reads what `oxmox verify` reads of the management cluster, but no Secret.
const READER: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: { name: reader, namespace: default }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: reader }
rules:
  - apiGroups: [cluster.x-k8s.io, controlplane.cluster.x-k8s.io, bootstrap.cluster.x-k8s.io, infrastructure.cluster.x-k8s.io]
    resources: ["*"]
    verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: reader }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader }
subjects: [{ kind: ServiceAccount, name: reader, namespace: default }]
"#;

/// The living demo.
pub(super) struct Lab<'a> {
    pub(super) set: &'a mut Set,
    /// The workload cluster, where the demo has come to it.
    pub(super) workload: Option<&'a Workload>,
    names: BTreeMap<&'static str, String>,
}

impl<'a> Lab<'a> {
    pub(super) fn new(set: &'a mut Set, workload: Option<&'a Workload>) -> Self {
        Self { set, workload, names: BTreeMap::new() }
    }

    /// Learns what names stand for now:
    ///
    /// * `{dir}`: the demo's directory; `{ca}`: the management cluster's own authority;
    /// * `{machine}`, `{uid}`, `{vmid}`, `{pve}`: a worker's ProxmoxMachine (its Node is called the same), its UID, its
    ///   VM and that VM's node; `{worker2}`: the other worker's Node;
    /// * `{control}`: the control plane's Node, `{control-vmid}`, `{control-pve}`: its VM and that VM's node;
    /// * `{free}`: a node of Proxmox VE without a machine, or the last.
    pub(super) async fn learn(&mut self) -> Result<()> {
        self.names.clear();
        let dir = self.set.dir.display().to_string();
        self.names.insert("ca", self.set.plane.pki().join("ca.crt").display().to_string());
        self.names.insert("dir", dir);
        if self.workload.is_none() {
            return Ok(());
        }
        let text = self.set.plane.kubectl(&["get", "proxmoxmachines", "--output=json"]).await?;
        let list: Value = serde_json::from_str(&text).context("read the ProxmoxMachines")?;
        let vms = self.set.administrator.call("GET", "/cluster/resources?type=vm", &[]).await?;
        let (mut workers, mut planes) = (Vec::new(), Vec::new());
        for item in list["items"].as_array().into_iter().flatten() {
            let text = |at: &str| item.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
            let Some(vmid) = item.pointer("/spec/virtualMachineID").and_then(Value::as_u64) else { continue };
            let vm = vms.as_array().into_iter().flatten().find(|vm| vm["vmid"].as_u64() == Some(vmid));
            let at = vm.and_then(|vm| vm["node"].as_str()).with_context(|| format!("there is no VM {vmid}"))?;
            let one = (text("/metadata/name"), text("/metadata/uid"), vmid.to_string(), at.to_owned());
            let plane = item.pointer("/metadata/labels/cluster.x-k8s.io~1control-plane").is_some();
            if plane { planes.push(one) } else { workers.push(one) }
        }
        workers.sort();
        let taken: Vec<&str> = workers.iter().chain(&planes).map(|one| one.3.as_str()).collect();
        let free = ["pve1", "pve2", "pve3"].into_iter().find(|node| !taken.contains(node)).unwrap_or("pve3");
        self.names.insert("free", free.to_owned());
        let (name, uid, vmid, at) = workers.first().cloned().context("there is no worker")?;
        self.names.extend([("machine", name), ("uid", uid), ("vmid", vmid), ("pve", at)]);
        self.names.insert("worker2", workers.get(1).context("there is no second worker")?.0.clone());
        let (name, _, vmid, at) = planes.first().cloned().context("there is no control plane")?;
        self.names.extend([("control", name), ("control-vmid", vmid), ("control-pve", at)]);
        self.learn_of_volumes().await
    }

    /// `{volume}`: a PersistentVolume that a pod uses, `{volid}`: what Proxmox VE calls it, `{ghost-handle}`: a handle like
    /// its own of no volume.
    async fn learn_of_volumes(&mut self) -> Result<()> {
        let text = self.kubectl(&["get", "persistentvolumes", "--output=json"]).await?;
        let list: Value = serde_json::from_str(&text).context("read the PersistentVolumes")?;
        let claim = |one: &&Value| one.pointer("/spec/claimRef/name").and_then(Value::as_str) == Some("data-store-0");
        let Some(volume) = list["items"].as_array().into_iter().flatten().find(claim) else { return Ok(()) };
        let word = |at: &str| volume.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (name, handle) = (word("/metadata/name"), word("/spec/csi/volumeHandle"));
        let parts: Vec<&str> = handle.splitn(4, '/').collect();
        let [_, _, storage, disk] = parts[..] else { bail!("the volume handle `{handle}` does not read") };
        self.names.insert("volid", format!("{storage}:{disk}"));
        self.names.insert("ghost-handle", handle.replace(&name, "ghost"));
        self.names.insert("volume", name);
        Ok(())
    }

    /// A text with its names filled in.
    pub(super) fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// Does one thing; the line that was waited for, of what is waited for.
    pub(super) async fn perform(&mut self, what: &Do) -> Result<Option<String>> {
        if let Do::Until(words, says, seconds) = *what {
            return self.until(words, says, true, seconds).await;
        }
        if let Do::UntilNot(words, says, seconds) = *what {
            return self.until(words, says, false, seconds).await;
        }
        self.change(what).await.map(|()| None)
    }

    async fn change(&mut self, what: &Do) -> Result<()> {
        match *what {
            Do::Door(method, path, "") => self.set.sim.tell(method, &self.fill(path), &Value::Null).await,
            Do::Door(method, path, body) => {
                let body = serde_json::from_str(&self.fill(body)).with_context(|| format!("read `{body}`"))?;
                self.set.sim.tell(method, &self.fill(path), &body).await
            }
            Do::Pve(method, path, form) => {
                let form: Vec<(&str, String)> = form.iter().map(|(key, value)| (*key, self.fill(value))).collect();
                let form: Vec<(&str, &str)> = form.iter().map(|(key, value)| (*key, value.as_str())).collect();
                self.set.administrator.carry_out(method, &self.fill(path), &form).await
            }
            Do::Keep(name, path, pointer) => {
                let answer = self.set.administrator.call("GET", &self.fill(path), &[]).await?;
                let found = answer.pointer(pointer).with_context(|| format!("{path} has no `{pointer}`"))?;
                let text = found.as_str().map_or_else(|| found.to_string(), ToOwned::to_owned);
                self.names.insert(name, text);
                Ok(())
            }
            Do::Management(words) => {
                let words: Vec<String> = words.iter().map(|word| self.fill(word)).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                self.set.plane.kubectl(&words).await.map(drop)
            }
            Do::Workload(words) => self.kubectl(words).await.map(drop),
            Do::Apply(manifest) => self.workload()?.apply("broken-world", &self.fill(manifest)).await.map(drop),
            Do::Guest(node, vmid, script) => self.guest(&self.fill(node), &self.fill(vmid), script).await,
            Do::Reader => {
                self.set.plane.apply(READER).await?;
                let kubeconfig = service_account_kubeconfig(&self.set.plane, "default", "reader").await?;
                self.names.insert("reader", kubeconfig.display().to_string());
                Ok(())
            }
            Do::NoReader => {
                let words = ["delete", "serviceaccount/reader", "clusterrole/reader", "clusterrolebinding/reader"];
                self.set.plane.kubectl(&words).await.map(drop)
            }
            Do::Rewrite(file, from, to) => {
                let file = self.fill(file);
                let text = std::fs::read_to_string(&file).with_context(|| format!("read `{file}`"))?;
                ensure!(text.contains(from), "`{file}` has no `{from}`");
                std::fs::write(&file, text.replace(from, to)).with_context(|| format!("write `{file}`"))
            }
            Do::Stop(name) => self.set.end(name).await,
            Do::Kill(name) => self.set.kill(name).await,
            Do::Start(name) => self.set.resume(name),
            // nothing changes
            Do::Until(..) | Do::UntilNot(..) => Ok(()),
        }
    }

    fn workload(&self) -> Result<&'a Workload> {
        self.workload.context("there is no workload cluster yet")
    }

    async fn kubectl(&self, words: &[&str]) -> Result<String> {
        let words: Vec<String> = words.iter().map(|word| self.fill(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.workload()?.kubectl(&words).await
    }

    /// Runs a script in a guest, by its agent; its exit status must be 0.
    async fn guest(&self, node: &str, vmid: &str, script: &str) -> Result<()> {
        let script = self.fill(script);
        let path = format!("/nodes/{node}/qemu/{vmid}/agent");
        let form = [("command", "sh"), ("command", "-c"), ("command", script.as_str())];
        let started = self.set.administrator.call("POST", &format!("{path}/exec"), &form).await?;
        let pid = started["pid"].as_u64().with_context(|| format!("the agent of VM {vmid} names no process"))?;
        let status = format!("{path}/exec-status?pid={pid}");
        let ended = eventually(Duration::from_secs(30), || async {
            let now = self.set.administrator.call("GET", &status, &[]).await?;
            if now["exited"].as_u64() == Some(1) || now["exited"].as_bool() == Some(true) {
                Ok(now)
            } else {
                Err(NotYet::because("it runs"))
            }
        });
        let ended = ended.await.with_context(|| format!("run `{script}` in VM {vmid}"))?;
        if ended["exitcode"].as_i64() != Some(0) {
            bail!("`{script}` in VM {vmid}: {ended}");
        }
        Ok(())
    }

    async fn until(&self, words: &[&str], says: &str, there: bool, seconds: u64) -> Result<Option<String>> {
        let says = self.fill(says);
        let seen = eventually(Duration::from_secs(seconds), || async {
            let said = self.kubectl(words).await?;
            let line = said.lines().find(|line| line.contains(&says)).map(ToOwned::to_owned);
            if line.is_some() == there { Ok(line) } else { Err(NotYet::because(said.trim().to_owned())) }
        });
        let verb = if there { "says" } else { "no longer says" };
        seen.await.with_context(|| format!("wait until `kubectl {}` {verb} `{says}`", self.fill(&words.join(" "))))
    }

    /// The cluster that is verified, where there is one.
    pub(super) fn cluster(&self) -> Option<&'static str> {
        self.workload.map(|_| CLUSTER)
    }
}
