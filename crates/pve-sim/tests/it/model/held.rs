//! The server, asked the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::reference::{Ask, Reference, World as Model};
use crate::client::{World, percent};

/// A server, and what the model was before each step.
pub(super) struct Held {
    runtime: Runtime,
    world: World,
    root: String,
    /// The model's own copy, one step behind.
    model: Model,
    secrets: BTreeMap<String, String>,
}

impl Held {
    /// A call by `root@pam`, with the end of its task; whether it was done.
    async fn does(&self, method: &str, path: &str, form: &[(&str, &str)]) -> bool {
        let answer = self.world.call_as(&self.root, method, path, form).await.unwrap();
        if answer.status != 200 {
            return false;
        }
        match answer.data().as_str().filter(|d| d.starts_with("UPID:")) {
            Some(upid) => self.world.wait(upid).await == "OK",
            None => true,
        }
    }

    async fn ask(&mut self, ask: &Ask) -> bool {
        let vm = |vmid: &u32| format!("/nodes/pve1/qemu/{vmid}");
        let config = |vmid| vm(vmid) + "/config";
        let content = "/nodes/pve1/storage/shared/content";
        let file = |vmid: &u32, letter: &char| format!("vm-{vmid}-{letter}.raw");
        match ask {
            Ask::Create(vmid) => {
                let vmid = vmid.to_string();
                self.does(
                    "POST",
                    "/nodes/pve1/qemu",
                    &[("vmid", &vmid), ("scsi0", "shared:1,format=qcow2"), ("memory", "64")],
                )
                .await
            }
            Ask::Clone(from, to) => self.does("POST", &(vm(from) + "/clone"), &[("newid", &to.to_string())]).await,
            Ask::Start(vmid) => self.does("POST", &(vm(vmid) + "/status/start"), &[]).await,
            Ask::Stop(vmid) => self.does("POST", &(vm(vmid) + "/status/stop"), &[]).await,
            Ask::Plug(vmid, key) => self.does("POST", &config(vmid), &[(key, "shared:1,format=qcow2")]).await,
            Ask::Unplug(vmid, key) => self.does("PUT", &config(vmid), &[("delete", key)]).await,
            Ask::Free(vmid) => {
                // The model counts them; which one goes is the same to it.
                let answer = self.world.call_as(&self.root, "GET", &config(vmid), &[]).await.unwrap();
                if answer.status != 200 {
                    return false;
                }
                let data = answer.data();
                let key = data.as_object().unwrap().keys().find(|k| k.starts_with("unused")).unwrap().clone();
                self.does("PUT", &config(vmid), &[("delete", &key)]).await
            }
            Ask::Protect(vmid, on) => {
                self.does("PUT", &config(vmid), &[("protection", if *on { "1" } else { "0" })]).await
            }
            Ask::Snapshot(vmid, name) => self.does("POST", &(vm(vmid) + "/snapshot"), &[("snapname", name)]).await,
            Ask::Rollback(vmid, name) => {
                self.does("POST", &format!("{}/snapshot/{name}/rollback", vm(vmid)), &[]).await
            }
            Ask::DropSnapshot(vmid, name) => self.does("DELETE", &format!("{}/snapshot/{name}", vm(vmid)), &[]).await,
            Ask::Template(vmid) => self.does("POST", &(vm(vmid) + "/template"), &[]).await,
            Ask::Destroy(vmid) => self.does("DELETE", &vm(vmid), &[]).await,
            Ask::Allocate(vmid, letter) => {
                let (file, vmid) = (file(vmid, letter), vmid.to_string());
                self.does("POST", content, &[("vmid", &vmid), ("filename", &file), ("size", "1M")]).await
            }
            Ask::Drop(vmid, letter) => {
                let volume = percent(&format!("shared:{vmid}/{}", file(vmid, letter)));
                self.does("DELETE", &format!("{content}/{volume}"), &[]).await
            }
            Ask::MakeToken(name) => {
                let path = format!("/access/users/capi@pve/token/{name}");
                let answer = self.world.call_as(&self.root, "POST", &path, &[]).await.unwrap();
                if answer.status == 200 {
                    let secret = answer.data()["value"].as_str().unwrap().to_owned();
                    self.secrets.insert(name.clone(), secret);
                }
                answer.status == 200
            }
            Ask::DropToken(name) => self.does("DELETE", &format!("/access/users/capi@pve/token/{name}"), &[]).await,
        }
    }

    /// Compares what there is with what should be.
    async fn compare(&self, model: &Model) {
        let (_, state) = self.world.door("GET", "/sim/state", "").await;
        let list = self.world.call_as(&self.root, "GET", "/nodes/pve1/qemu", &[]).await.unwrap().data();
        let listed: BTreeSet<u32> = list.as_array().unwrap().iter().map(|r| number(&r["vmid"])).collect();
        assert_eq!(listed, model.vms.keys().copied().collect::<BTreeSet<_>>());
        for row in list.as_array().unwrap() {
            let vmid = number(&row["vmid"]);
            let vm = &model.vms[&vmid];
            assert_eq!(row["status"] == "running", vm.running, "VM {vmid}");
            assert_eq!(row["template"] == 1, vm.template, "VM {vmid}");
            let path = format!("/nodes/pve1/qemu/{vmid}");
            let config = self.world.call_as(&self.root, "GET", &(path.clone() + "/config"), &[]).await.unwrap().data();
            let keys = |start: &str| config.as_object().unwrap().keys().filter(|k| k.starts_with(start)).count();
            let disks = (0..8).filter(|n| !config[format!("scsi{n}")].is_null()).count();
            assert_eq!((disks, keys("unused")), (vm.disks.len(), vm.unused), "VM {vmid}: {config}");
            let snapshots = self.world.call_as(&self.root, "GET", &(path + "/snapshot"), &[]).await.unwrap().data();
            let names: BTreeSet<&str> =
                snapshots.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
            let mut wanted: BTreeSet<&str> = vm.snapshots.iter().map(String::as_str).collect();
            wanted.insert("current");
            assert_eq!(names, wanted, "VM {vmid}");
            assert!(
                config["lock"].is_null()
                    && state["guests"][vmid.to_string()]["pending"]
                        == Value::Object([].into_iter().collect::<serde_json::Map<_, _>>()),
                "VM {vmid}"
            );
        }
        let content = self.world.call_as(&self.root, "GET", "/nodes/pve1/storage/shared/content", &[]).await.unwrap();
        let volumes = content.data().as_array().unwrap().iter().filter(|v| v["content"] == "images").count();
        let owned: usize = model.vms.values().map(|vm| vm.disks.len() + vm.unused).sum();
        assert_eq!(volumes, owned + model.loose.len(), "{}", content.text);
        for (name, secret) in &self.secrets {
            let header = format!("Authorization: PVEAPIToken=capi@pve!{name}={secret}\r\n");
            let status = self.world.call_as(&header, "GET", "/version", &[]).await.unwrap().status;
            assert_eq!(status == 200, model.tokens.contains(name), "token {name}: {status}");
        }
    }
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap()
}

impl StateMachineTest for Held {
    type SystemUnderTest = Self;
    type Reference = Reference;

    fn init_test(model: &Model) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (world, root) = runtime.block_on(async {
            let world =
                World::start(pve_sim::Options { speed: 2000.0, tick: 0.001, ..pve_sim::Options::default() }).await;
            let root = world.root().await;
            (world, root)
        });
        Self { runtime, world, root, model: model.clone(), secrets: BTreeMap::new() }
    }

    fn apply(mut held: Self, model: &Model, ask: Ask) -> Self {
        let wanted = held.model.ask(&ask);
        let handle = held.runtime.handle().clone();
        let done = handle.block_on(held.ask(&ask));
        assert_eq!(done, wanted, "{ask:?} with {:?}", held.model);
        handle.block_on(held.compare(model));
        held
    }

    fn teardown(held: Self, _: <Reference as ReferenceStateMachine>::State) {
        drop(held.world);
        held.runtime.shutdown_background();
    }
}
