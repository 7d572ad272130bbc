//! The node plugin on a machine of paper: what it does, and above all what it does not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use csi::host::fake::{Disk, FakeHost};
use csi::host::{Access, Device, Error, Found, Host, Kind, Mount, Usage};
use csi::{DRIVER, NodeSettings, Place, Registration, Roots};
use csi_proto::csi as rpc;
use csi_proto::csi::node_client::NodeClient;
use csi_proto::csi::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume, access_mode::Mode};
use csi_proto::registration::{InfoRequest, registration_client::RegistrationClient};
use plan::volume::{FsType, Handle, Identity};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;

use crate::world::channel;

const VOLUME: &str = "eu/pve1/data/vm-9100-pvc-1";
const GIB: u64 = 1 << 30;

/// The same machine, seen by the plugin and by the test.
#[derive(Clone)]
struct Shared(Arc<FakeHost>);

macro_rules! pass {
    ($($name:ident($($arg:ident: $of:ty),*) -> $out:ty;)*) => {
        #[tonic::async_trait]
        impl Host for Shared {
            $(async fn $name(&self, $($arg: $of),*) -> Result<$out, Error> { self.0.$name($($arg),*).await })*
        }
    };
}

pass! {
    device(identity: &Identity, at_least: u64) -> Device;
    look(device: &Device) -> Found;
    format(device: &Device, fs: FsType, options: &[String]) -> ();
    check(device: &Device, fs: FsType) -> ();
    grow_offline(device: &Device, fs: FsType) -> ();
    grow_online(device: &Device, fs: FsType, at: &Path) -> ();
    rescan(device: &Device) -> ();
    mount(device: &Device, fs: FsType, at: &Path, options: &[String]) -> ();
    bind(from: &Path, at: &Path, access: Access) -> ();
    unmount(at: &Path) -> ();
    mounts() -> Vec<Mount>;
    kind(path: &Path) -> Kind;
    make_directory(path: &Path) -> ();
    make_file(path: &Path) -> ();
    remove(path: &Path) -> ();
    usage(path: &Path) -> Usage;
}

struct Plugin {
    host: Arc<FakeHost>,
    directory: TempDir,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<Result<(), csi::Error>>,
    client: NodeClient<Channel>,
}

impl Plugin {
    async fn with(found: Found) -> Self {
        let host = Arc::new(FakeHost::default());
        let handle: Handle = VOLUME.parse().unwrap();
        host.plug(&Identity::of(&handle), Disk { size: GIB, found });
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("csi.sock");
        let settings = NodeSettings {
            socket: socket.clone(),
            driver: DRIVER.to_owned(),
            node: "w-0/101".to_owned(),
            place: Place { region: "eu".to_owned(), zone: "pve1".to_owned() },
            max_volumes: 24,
            registration: Some(Registration {
                directory: directory.path().join("registration"),
                endpoint: "/var/lib/kubelet/plugins/x/csi.sock".to_owned(),
            }),
            roots: Roots::default(),
            admin: None,
        };
        let stop = CancellationToken::new();
        let served = tokio::spawn(csi::node(settings, Shared(host.clone()), stop.clone()));
        let client = NodeClient::new(channel(&socket).await);
        Self { host, directory, stop, served, client }
    }

    async fn stop(self) -> Vec<String> {
        self.stop.cancel();
        drop(self.client);
        self.served.await.unwrap().unwrap();
        self.host.done()
    }
}

fn capability(access: AccessType, mode: Mode) -> rpc::VolumeCapability {
    rpc::VolumeCapability { access_mode: Some(AccessMode { mode: mode.into() }), access_type: Some(access) }
}

fn mount(fs: &str) -> AccessType {
    AccessType::Mount(MountVolume { fs_type: fs.to_owned(), ..MountVolume::default() })
}

fn stage(of: rpc::VolumeCapability, size: u64) -> rpc::NodeStageVolumeRequest {
    rpc::NodeStageVolumeRequest {
        volume_id: VOLUME.to_owned(),
        staging_target_path: "/staging".to_owned(),
        volume_capability: Some(of),
        publish_context: [("sizeBytes".to_owned(), size.to_string())].into(),
        ..rpc::NodeStageVolumeRequest::default()
    }
}

fn publish(of: rpc::VolumeCapability, at: &str, readonly: bool) -> rpc::NodePublishVolumeRequest {
    rpc::NodePublishVolumeRequest {
        volume_id: VOLUME.to_owned(),
        staging_target_path: "/staging".to_owned(),
        target_path: at.to_owned(),
        volume_capability: Some(of),
        readonly,
        ..rpc::NodePublishVolumeRequest::default()
    }
}

fn unpublish(at: &str) -> rpc::NodeUnpublishVolumeRequest {
    rpc::NodeUnpublishVolumeRequest { volume_id: VOLUME.to_owned(), target_path: at.to_owned() }
}

fn unstage() -> rpc::NodeUnstageVolumeRequest {
    rpc::NodeUnstageVolumeRequest { volume_id: VOLUME.to_owned(), staging_target_path: "/staging".to_owned() }
}

#[tokio::test]
async fn a_volume_is_formatted_once_and_each_step_may_be_repeated() {
    let mut plugin = Plugin::with(Found::Empty).await;
    let of = || capability(mount(""), Mode::SingleNodeWriter);
    for _ in 0..2 {
        plugin.client.node_stage_volume(stage(of(), GIB)).await.unwrap();
    }
    for _ in 0..2 {
        plugin.client.node_publish_volume(publish(of(), "/pod", false)).await.unwrap();
    }
    let other = plugin.client.node_publish_volume(publish(of(), "/pod", true)).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists, "{other}");
    for _ in 0..2 {
        plugin.client.node_unpublish_volume(unpublish("/pod")).await.unwrap();
        plugin.client.node_unstage_volume(unstage()).await.unwrap();
    }
    plugin.client.node_stage_volume(stage(of(), GIB)).await.unwrap();
    assert_eq!(
        plugin.stop().await,
        [
            "format /dev/sd0 ext4",
            "mount /dev/sd0 /staging []",
            "bind /staging /pod Write",
            "unmount /pod",
            "unmount /staging",
            "check /dev/sd0",
            "mount /dev/sd0 /staging []",
        ]
    );
}

#[tokio::test]
async fn nothing_is_written_to_a_disk_that_is_not_proven_empty_and_ours() {
    let of = || capability(mount("ext4"), Mode::SingleNodeWriter);
    for (found, size, code) in [
        (Found::Other("LUKS".to_owned()), GIB, Code::FailedPrecondition),
        (Found::Doubtful("blkid cannot tell".to_owned()), GIB, Code::FailedPrecondition),
        (Found::Ours(FsType::Xfs, GIB), GIB, Code::FailedPrecondition),
        // A disk that is smaller than the volume is another's.
        (Found::Empty, 2 * GIB, Code::FailedPrecondition),
    ] {
        let mut plugin = Plugin::with(found.clone()).await;
        let refused = plugin.client.node_stage_volume(stage(of(), size)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{found:?}: {refused}");
        assert_eq!(plugin.stop().await, [""; 0], "{found:?}");
    }
    let mut plugin = Plugin::with(Found::Empty).await;
    let request =
        rpc::NodeStageVolumeRequest { volume_id: "eu/pve1/data/vm-9100-pvc-2".to_owned(), ..stage(of(), GIB) };
    let refused = plugin.client.node_stage_volume(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "its disk is not there: {refused}");
    let read = capability(mount("ext4"), Mode::SingleNodeReaderOnly);
    let refused = plugin.client.node_stage_volume(stage(read, GIB)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "what is only read is not formatted: {refused}");
    assert_eq!(plugin.stop().await, [""; 0]);
}

#[tokio::test]
async fn a_file_system_that_ends_before_its_disk_grows_at_the_next_stage_or_while_it_is_mounted() {
    let mut plugin = Plugin::with(Found::Ours(FsType::Ext4, GIB / 2)).await;
    plugin.client.node_stage_volume(stage(capability(mount("ext4"), Mode::SingleNodeWriter), GIB)).await.unwrap();
    assert_eq!(plugin.stop().await, ["check /dev/sd0", "grow /dev/sd0 offline", "mount /dev/sd0 /staging []"]);
    let mut plugin = Plugin::with(Found::Ours(FsType::Xfs, GIB / 2)).await;
    plugin.client.node_stage_volume(stage(capability(mount("xfs"), Mode::SingleNodeWriter), GIB)).await.unwrap();
    let done = plugin.stop().await;
    assert_eq!(done.last().map(String::as_str), Some("grow /dev/sd0 at /staging"), "{done:?}");
}

#[tokio::test]
async fn a_block_volume_is_the_disk_itself_and_a_second_pod_is_refused_where_one_alone_may_have_it() {
    let mut plugin = Plugin::with(Found::Empty).await;
    let of = || capability(AccessType::Block(BlockVolume {}), Mode::SingleNodeSingleWriter);
    plugin.client.node_stage_volume(stage(of(), GIB)).await.unwrap();
    for _ in 0..2 {
        plugin.client.node_publish_volume(publish(of(), "/pod-a", false)).await.unwrap();
    }
    let second = plugin.client.node_publish_volume(publish(of(), "/pod-b", false)).await.unwrap_err();
    assert_eq!(second.code(), Code::FailedPrecondition, "{second}");
    assert!(second.message().contains("/pod-a"), "{second}");
    plugin.client.node_unpublish_volume(unpublish("/pod-a")).await.unwrap();
    plugin.client.node_publish_volume(publish(of(), "/pod-b", false)).await.unwrap();
    assert_eq!(plugin.stop().await, ["bind /dev/sd0 /pod-a Write", "unmount /pod-a", "bind /dev/sd0 /pod-b Write"]);
}

#[tokio::test]
async fn what_is_missing_in_a_request_is_named() {
    let mut plugin = Plugin::with(Found::Empty).await;
    let of = || capability(mount(""), Mode::SingleNodeWriter);
    let request = rpc::NodeStageVolumeRequest { staging_target_path: "relative".to_owned(), ..stage(of(), GIB) };
    for (request, says) in [
        (rpc::NodeStageVolumeRequest { volume_id: String::new(), ..stage(of(), GIB) }, "volume_id"),
        (rpc::NodeStageVolumeRequest { volume_capability: None, ..stage(of(), GIB) }, "volume_capability"),
        (request, "staging_target_path"),
        (stage(capability(mount("btrfs"), Mode::SingleNodeWriter), GIB), "fs_type"),
        (stage(capability(mount(""), Mode::MultiNodeMultiWriter), GIB), "access_mode"),
    ] {
        let refused = plugin.client.node_stage_volume(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(says), "{refused}");
    }
    assert_eq!(plugin.stop().await, [""; 0]);
}

#[tokio::test]
async fn a_kubelet_that_calls_us_by_our_sockets_path_is_answered() {
    let plugin = Plugin::with(Found::Empty).await;
    let path = plugin.directory.path().join(format!("registration/{DRIVER}-reg.sock"));
    let answer = crate::kubelet::asks_who_we_are(&path).await;
    assert!(answer.contains("CSIPlugin") && answer.contains(DRIVER), "{answer:?}");
    plugin.stop().await;
}

#[tokio::test]
async fn the_kubelet_is_told_who_we_are() {
    let plugin = Plugin::with(Found::Empty).await;
    let path = plugin.directory.path().join(format!("registration/{DRIVER}-reg.sock"));
    let mut kubelet = RegistrationClient::new(channel(&path).await);
    let info = kubelet.get_info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.r#type.as_str(), info.name.as_str()), ("CSIPlugin", DRIVER));
    assert_eq!(info.endpoint, "/var/lib/kubelet/plugins/x/csi.sock");
    let mut client = plugin.client.clone();
    let info = client.node_get_info(rpc::NodeGetInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.accessible_topology.unwrap().segments["topology.kubernetes.io/zone"], "pve1");
    drop((kubelet, client));
    plugin.stop().await;
    testkit::eventually(Duration::from_secs(5), || async {
        if path.exists() { Err(testkit::NotYet::because("the socket is there".to_owned())) } else { Ok(()) }
    })
    .await
    .unwrap();
}
