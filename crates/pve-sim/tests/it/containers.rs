//! Containers, as root and others see them.

use pve_sim::Options;
use serde_json::{Value, json};

use crate::client::{Answer, World, percent};

/// A world in which containers can be made, and root who makes them.
pub(crate) struct Root {
    pub(crate) world: World,
    headers: String,
}

pub(crate) const TEMPLATE: &str = "local:vztmpl/alpine-3.22.tar.xz";

impl Root {
    pub(crate) async fn new(options: Options) -> Self {
        let world = World::start(options).await;
        let (_, mut state) = world.door("GET", "/sim/state", "").await;
        state["storages"]["local"]["content"].as_array_mut().unwrap().push(json!("rootdir"));
        for node in ["pve1", "pve2"] {
            let volume = json!({
                "storage": "local", "node": node, "name": TEMPLATE.split_once(':').unwrap().1, "content": "vztmpl",
                "format": "txz", "size": 3_000_000, "ctime": 1, "parent": null, "vmid": null,
            });
            state["volumes"].as_array_mut().unwrap().push(volume);
        }
        let (status, answer) = world.door("POST", "/sim/load", &state.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        let headers = world.root().await;
        Self { world, headers }
    }

    pub(crate) async fn quick() -> Self {
        Self::new(Options { speed: 50.0, ..Options::default() }).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        self.world.call_as(&self.headers, method, path, form).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call("GET", path, &[]).await.data()
    }

    pub(crate) async fn task(&self, method: &str, path: &str, form: &[(&str, &str)]) -> String {
        let upid = self.call(method, path, form).await.data();
        self.wait(upid.as_str().unwrap()).await
    }

    pub(crate) async fn wait(&self, upid: &str) -> String {
        self.world.wait_as(&self.headers, upid).await
    }

    /// The lines of a task's log.
    pub(crate) async fn log(&self, upid: &str) -> Vec<String> {
        let node = upid.split(':').nth(1).unwrap();
        let path = format!("/nodes/{node}/tasks/{}/log", percent(upid));
        let data = self.call("GET", &path, &[("limit", "0")]).await.data();
        data.as_array().unwrap().iter().map(|l| l["t"].as_str().unwrap().to_owned()).collect()
    }

    /// A container with a root file system of 2 GiB and a network card.
    pub(crate) async fn container(&self, vmid: &str) {
        let form = [
            ("vmid", vmid),
            ("ostemplate", TEMPLATE),
            ("rootfs", "local:2"),
            ("hostname", "box"),
            ("memory", "256"),
            ("net0", "bridge=vmbr0,name=eth0,ip=192.0.2.77/24"),
        ];
        assert_eq!(self.task("POST", "/nodes/pve1/lxc", &form).await, "OK");
    }

    async fn refused(&self, method: &str, path: &str, form: &[(&str, &str)]) -> String {
        self.call(method, path, form).await.refusal().1
    }
}

#[tokio::test]
async fn a_new_container_has_its_own_defaults_and_is_unprivileged() {
    let root = Root::quick().await;
    root.container("300").await;
    let mut config = root.get("/nodes/pve1/lxc/300/config").await;
    let net = config["net0"].take();
    let net = net.as_str().unwrap();
    assert!(net.starts_with("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:"), "{net}");
    assert!(net.ends_with(",ip=192.0.2.77/24,type=veth"), "{net}");
    config.as_object_mut().unwrap().retain(|k, _| !["net0", "digest"].contains(&k.as_str()));
    let wanted = json!({
        "arch": "amd64", "hostname": "box", "memory": 256, "swap": 512, "ostype": "alpine", "unprivileged": 1,
        "rootfs": "local:300/vm-300-disk-0.raw,size=2G",
    });
    assert_eq!(config, wanted);
    let row = root.get("/nodes/pve1/lxc/300/status/current").await;
    assert_eq!((&row["type"], &row["maxswap"], &row["cpus"]), (&json!("lxc"), &json!(512 << 20), &json!(16)));
    assert_eq!(root.get("/nodes/pve1/lxc").await.as_array().unwrap().len(), 1);
    assert_eq!(root.get("/nodes/pve1/lxc/300/interfaces").await, json!(null));
}

#[tokio::test]
async fn what_can_not_be_made_is_refused_at_once_and_a_missing_template_in_the_task() {
    let root = Root::quick().await;
    root.container("300").await;
    let create = async |form: &[(&str, &str)]| root.refused("POST", "/nodes/pve1/lxc", form).await;
    let template = ("ostemplate", TEMPLATE);
    assert_eq!(create(&[("vmid", "300"), template]).await, "CT 300 already exists on node 'pve1'");
    assert_eq!(create(&[("vmid", "9000"), template]).await, "VM 9000 already exists on node 'pve1'");
    let lonely = create(&[("vmid", "301"), template, ("mp0", "local:1,mp=/srv")]).await;
    assert_eq!(lonely, "mount points configured, but 'rootfs' not set - aborting");
    let answer = root.call("POST", "/nodes/pve1/lxc", &[("vmid", "301"), template, ("rootfs", "shared:1")]).await;
    let errors = answer.json()["errors"].clone();
    assert_eq!(errors, json!({"storage": "storage 'shared' does not support container directories"}));
    let iso = create(&[("vmid", "301"), ("ostemplate", "local:iso/a.iso"), ("rootfs", "local:1")]).await;
    assert_eq!(iso, "unable to use volume local:iso/a.iso - content type needs to be 'vztmpl'");
    let form = [("vmid", "301"), ("ostemplate", "local:vztmpl/gone.tar.gz"), ("rootfs", "local:1")];
    let exit = root.task("POST", "/nodes/pve1/lxc", &form).await;
    assert_eq!(exit, "unable to create CT 301 - volume 'local:vztmpl/gone.tar.gz' does not exist");
    let left = root.call("GET", "/nodes/pve1/storage/local/content", &[("vmid", "301")]).await.data();
    assert_eq!(left, json!([]));
    let gone = root.refused("GET", "/nodes/pve1/lxc/301/config", &[]).await;
    assert_eq!(gone, "Configuration file 'nodes/pve1/lxc/301.conf' does not exist");
    let other = root.refused("GET", "/nodes/pve1/qemu/300/config", &[]).await;
    assert_eq!(other, "Configuration file 'nodes/pve1/qemu-server/300.conf' does not exist");
}

#[tokio::test]
async fn a_running_container_takes_some_options_and_keeps_others_for_its_stop() {
    let root = Root::quick().await;
    root.container("300").await;
    let config = "/nodes/pve1/lxc/300/config";
    assert_eq!(root.task("POST", "/nodes/pve1/lxc/300/status/start", &[]).await, "OK");
    assert_eq!(root.refused("POST", "/nodes/pve1/lxc/300/status/start", &[]).await, "CT 300 already running");
    let form = [("memory", "512"), ("features", "nesting=1"), ("mp0", "local:1,mp=/srv")];
    assert_eq!(root.call("PUT", config, &form).await.data(), json!(null));
    let now = root.call("GET", config, &[("current", "1")]).await.data();
    assert_eq!((&now["memory"], &now["features"]), (&json!(512), &json!(null)));
    assert_eq!(now["mp0"], "local:300/vm-300-disk-1.raw,mp=/srv,size=1G");
    let pending = root.get("/nodes/pve1/lxc/300/pending").await;
    assert!(pending.as_array().unwrap().contains(&json!({"key": "features", "pending": "nesting=1"})), "{pending}");
    assert_eq!(root.call("PUT", config, &[("delete", "mp0")]).await.data(), json!(null));
    assert_eq!(root.task("POST", "/nodes/pve1/lxc/300/status/stop", &[]).await, "OK");
    let after = root.get(config).await;
    assert_eq!((&after["features"], &after["mp0"]), (&json!("nesting=1"), &json!(null)));
    assert_eq!(after["unused0"], "local:300/vm-300-disk-1.raw");
    for verb in ["stop", "shutdown", "suspend", "resume"] {
        let text = root.refused("POST", &format!("/nodes/pve1/lxc/300/status/{verb}"), &[]).await;
        assert_eq!(text, "CT 300 not running");
    }
    assert_eq!(root.refused("POST", "/nodes/pve1/lxc/300/status/reboot", &[]).await, "VM 300 not running");
}

#[tokio::test]
async fn what_a_configuration_can_not_lose_or_change_is_refused() {
    let root = Root::quick().await;
    root.container("300").await;
    let config = "/nodes/pve1/lxc/300/config";
    let put = async |form: &[(&str, &str)]| root.refused("PUT", config, form).await;
    assert_eq!(put(&[]).await, "no options specified");
    assert_eq!(put(&[("delete", "memory")]).await, "unable to delete required option 'memory'");
    assert_eq!(put(&[("unprivileged", "0")]).await, "unable to modify read-only option: 'unprivileged'");
    let stale = put(&[("digest", "0000"), ("memory", "300")]).await;
    assert_eq!(stale, "detected modified configuration - file changed by other user? Try again.");
    let answer = root.call("PUT", config, &[("delete", "nothing")]).await;
    assert_eq!(answer.json()["errors"], json!({"delete": "unknown option 'nothing'"}));
    root.call("PUT", config, &[("protection", "1")]).await.data();
    let destroy = root.refused("DELETE", "/nodes/pve1/lxc/300", &[]).await;
    assert_eq!(destroy, "can't remove CT 300 - protection mode enabled");
}

#[tokio::test]
async fn a_volume_grows_but_does_not_shrink_and_moves_only_while_its_container_is_off() {
    let root = Root::quick().await;
    root.container("300").await;
    let resize = "/nodes/pve1/lxc/300/resize";
    assert_eq!(root.refused("PUT", resize, &[("disk", "rootfs"), ("size", "1G")]).await, "unable to shrink disk size");
    let same = root.refused("PUT", resize, &[("disk", "rootfs"), ("size", "2G")]).await;
    assert_eq!(same, "disk is already at specified size");
    assert_eq!(root.task("PUT", resize, &[("disk", "rootfs"), ("size", "+512M")]).await, "OK");
    let config = root.get("/nodes/pve1/lxc/300/config").await;
    assert_eq!(config["rootfs"], "local:300/vm-300-disk-0.raw,size=2560M");
    let path = "/nodes/pve1/lxc/300/move_volume";
    let both = root.refused("POST", path, &[("volume", "rootfs"), ("storage", "local"), ("target-vmid", "301")]).await;
    assert_eq!(both, "either set storage or target-vmid, but not both");
    root.task("POST", "/nodes/pve1/lxc/300/status/start", &[]).await;
    let form = [("volume", "rootfs"), ("storage", "local"), ("delete", "1")];
    assert_eq!(root.refused("POST", path, &form).await, "cannot move volumes of a running container");
    root.task("POST", "/nodes/pve1/lxc/300/status/stop", &[]).await;
    assert_eq!(root.task("POST", path, &form).await, "OK");
    let config = root.get("/nodes/pve1/lxc/300/config").await;
    assert_eq!(config["rootfs"], "local:300/vm-300-disk-1.raw,size=2560M");
    assert_eq!(config["lock"], json!(null));
}

#[tokio::test]
async fn a_mount_point_can_be_given_to_another_container() {
    let root = Root::quick().await;
    root.container("300").await;
    root.container("301").await;
    root.call("PUT", "/nodes/pve1/lxc/300/config", &[("mp2", "local:1,mp=/data")]).await.data();
    let path = "/nodes/pve1/lxc/300/move_volume";
    let taken = root.refused("POST", path, &[("volume", "rootfs"), ("target-vmid", "301")]).await;
    assert_eq!(taken, "Target volume key 'rootfs' is already in use for container '301'");
    let form = [("volume", "mp2"), ("target-vmid", "301"), ("target-volume", "mp0")];
    let upid = root.call("POST", path, &form).await.data();
    assert!(upid.as_str().unwrap().contains(":move_volume:300-mp2>301-mp0:"), "{upid}");
    assert_eq!(root.wait(upid.as_str().unwrap()).await, "OK");
    assert_eq!(root.get("/nodes/pve1/lxc/300/config").await["mp2"], json!(null));
    let config = root.get("/nodes/pve1/lxc/301/config").await;
    assert_eq!(config["mp0"], "local:301/vm-301-disk-1.raw,mp=/data,size=1G");
}

#[tokio::test]
async fn a_clone_locks_its_source_until_it_is_done() {
    let slow = Options { task_seconds: [("clone-full".to_owned(), 10_000.0)].into(), ..Options::default() };
    let root = Root::new(slow).await;
    root.container("300").await;
    let clone = "/nodes/pve1/lxc/300/clone";
    let upid = root.call("POST", clone, &[("newid", "301"), ("hostname", "copy")]).await.data();
    let upid = upid.as_str().unwrap();
    assert_eq!(root.get("/nodes/pve1/lxc/300/config").await["lock"], "disk");
    assert_eq!(root.get("/nodes/pve1/lxc/301/config").await["lock"], "create");
    assert_eq!(root.refused("POST", clone, &[("newid", "302")]).await, "CT is locked (disk)");
    root.world.door("POST", &format!("/sim/tasks/{}/finish", percent(upid)), "").await;
    assert_eq!(root.wait(upid).await, "OK");
    let (source, copy) = (root.get("/nodes/pve1/lxc/300/config").await, root.get("/nodes/pve1/lxc/301/config").await);
    assert_eq!((&source["lock"], &copy["lock"], &copy["hostname"]), (&json!(null), &json!(null), &json!("copy")));
    assert_eq!(copy["rootfs"], "local:301/vm-301-disk-0.raw,size=2G");
    assert_ne!(source["net0"], copy["net0"]);
    let linked = root.refused("POST", clone, &[("newid", "302"), ("full", "0")]).await;
    assert_eq!(linked, "Linked clone feature for 'local:300/vm-300-disk-0.raw' is not available");
    root.task("POST", "/nodes/pve1/lxc/300/status/start", &[]).await;
    let running = root.refused("POST", clone, &[("newid", "302")]).await;
    assert_eq!(running, "Full clone of a running container is only possible from a snapshot");
    assert_eq!(root.refused("POST", clone, &[("newid", "301")]).await, "CT 301 already exists on node 'pve1'");
}

#[tokio::test]
async fn files_have_no_snapshots_and_a_running_container_goes_only_by_force() {
    let root = Root::quick().await;
    root.container("300").await;
    let snapshot = "/nodes/pve1/lxc/300/snapshot";
    assert_eq!(root.task("POST", snapshot, &[("snapname", "before")]).await, "snapshot feature is not available");
    let reserved = root.refused("POST", snapshot, &[("snapname", "vzdump")]).await;
    assert_eq!(reserved, "unable to use snapshot name 'vzdump' (reserved name)");
    let feature = root.call("GET", "/nodes/pve1/lxc/300/feature", &[("feature", "snapshot")]).await.data();
    assert_eq!(feature, json!({"hasFeature": 0}));
    root.task("POST", "/nodes/pve1/lxc/300/status/start", &[]).await;
    let running = root.refused("DELETE", "/nodes/pve1/lxc/300", &[]).await;
    assert_eq!(running, "unable to destroy CT 300 - container is running");
    assert_eq!(root.task("DELETE", "/nodes/pve1/lxc/300", &[("force", "1")]).await, "OK");
    assert_eq!(root.get("/nodes/pve1/lxc").await, json!([]));
}

#[tokio::test]
async fn a_container_migrates_with_its_volumes_stopped_or_restarted() {
    let root = Root::quick().await;
    root.container("300").await;
    let migrate = "/nodes/pve1/lxc/300/migrate";
    assert_eq!(root.refused("POST", migrate, &[("target", "pve9")]).await, "no such cluster node 'pve9'");
    root.task("POST", "/nodes/pve1/lxc/300/status/start", &[]).await;
    let text = root.refused("POST", migrate, &[("target", "pve2")]).await;
    assert_eq!(text, "can't migrate running container without --online or --restart");
    assert_eq!(root.task("POST", migrate, &[("target", "pve2"), ("restart", "1")]).await, "OK");
    let status = root.get("/nodes/pve2/lxc/300/status/current").await;
    assert_eq!((&status["status"], &status["lock"]), (&json!("running"), &json!(null)));
    let there = root.call("GET", "/nodes/pve2/storage/local/content", &[("vmid", "300")]).await.data();
    assert_eq!(there[0]["volid"], "local:300/vm-300-disk-0.raw");
    let addresses = root.get("/nodes/pve2/lxc/300/interfaces").await;
    assert_eq!(addresses[1]["ip-addresses"][0]["ip-address"], "192.0.2.77");
}

#[tokio::test]
async fn only_root_mounts_what_is_no_volume_and_sets_features_of_privileged_containers() {
    let root = Root::quick().await;
    root.container("300").await;
    let token = root.world.token();
    let put = async |form: &[(&str, &str)]| {
        let path = "/nodes/pve1/lxc/300/config";
        root.world.call_as(&token, "PUT", path, form).await.unwrap().refusal()
    };
    let bind = put(&[("mp1", "/srv,mp=/srv")]).await;
    let text = "Permission check failed (mount point type bind is only allowed for root@pam)";
    assert_eq!(bind, (403, text.to_owned()));
    let device = put(&[("dev0", "/dev/ttyS0")]).await;
    let text = "Permission check failed (configuring device passthrough is only allowed for root@pam)";
    assert_eq!(device, (403, text.to_owned()));
    let features = put(&[("features", "nesting=1,keyctl=1")]).await;
    let text = "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)";
    assert_eq!(features, (403, text.to_owned()));
    let nesting = [("features", "nesting=1")];
    let answer = root.world.call("PUT", "/nodes/pve1/lxc/300/config", &nesting).await;
    assert_eq!(answer.data(), json!(null));
}
