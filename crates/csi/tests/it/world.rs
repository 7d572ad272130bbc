//! A simulated cluster with workers, and a controller on it.

use std::collections::BTreeMap;
use std::time::Duration;

use csi::{ControllerSettings, DRIVER, RegionSettings};
use csi_proto::csi as rpc;
use csi_proto::csi::controller_client::ControllerClient;
use csi_proto::csi::volume_capability::{AccessMode, AccessType, MountVolume, access_mode::Mode};
use hyper_util::rt::TokioIo;
use pve::{Auth, Client, ClientConfig, PollerOptions, Proxy, Trust};
use pve_sim::{Options, Running, Sim};
use pve_types::{NodeName, Vmid};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::door::Door;

pub(crate) const TOKEN: &str = "capi@pve!oxmox";
pub(crate) const GIB: i64 = 1 << 30;
/// A storage that all nodes see.
pub(crate) const SHARED: &str = "shared";

pub(crate) struct World {
    pub(crate) sim: Running,
    pub(crate) door: Door,
    pub(crate) pve: Client,
    pub(crate) directory: TempDir,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<Result<(), csi::Error>>,
}

/// A channel to a Unix socket, once somebody serves there.
pub(crate) async fn channel(path: &std::path::Path) -> Channel {
    let path = path.to_owned();
    testkit::eventually(Duration::from_secs(10), || {
        let path = path.clone();
        async move {
            UnixStream::connect(&path).await.map(drop).map_err(|why| testkit::NotYet::because(why.to_string()))
        }
    })
    .await
    .unwrap();
    let connect = move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    };
    Endpoint::from_static("http://localhost").connect_with_connector(tower::service_fn(connect)).await.unwrap()
}

pub(crate) fn node(n: u32) -> NodeName {
    format!("pve{n}").parse().unwrap()
}

pub(crate) fn vmid(n: u32) -> Vmid {
    n.try_into().unwrap()
}

fn config(sim: &Running) -> ClientConfig {
    let secret = sim.token(TOKEN).unwrap().to_owned().into();
    ClientConfig {
        trust: Trust::Ca(sim.ca_pem().to_owned()),
        proxy: Proxy::None,
        ..ClientConfig::new(vec![sim.url().parse().unwrap()], Auth::Token { id: TOKEN.to_owned(), secret })
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Options { speed: 200.0, ..Options::default() }).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let sim = Sim::start(options).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let pve = Client::new(config(&sim)).unwrap();
        let (stop, served) = Self::serve(&sim, &directory);
        let door = Door::new(sim.control_url());
        Self { sim, door, pve, directory, stop, served }
    }

    fn serve(
        sim: &Running,
        directory: &TempDir,
    ) -> (CancellationToken, tokio::task::JoinHandle<Result<(), csi::Error>>) {
        let settings = ControllerSettings {
            socket: directory.path().join("controller.sock"),
            driver: DRIVER.to_owned(),
            regions: vec![RegionSettings { name: "eu".to_owned(), client: config(sim) }],
            tenant: "team-a".to_owned(),
            pool: Some("kubernetes".parse().unwrap()),
            make_holders: true,
            pace: PollerOptions {
                idle: Duration::from_mins(10),
                tasks: Duration::from_millis(10),
                ..PollerOptions::default()
            },
            recheck: Duration::from_mins(30),
            admin: None,
        };
        let stop = CancellationToken::new();
        let served = tokio::spawn(csi::controller(settings, stop.clone()));
        (stop, served)
    }

    /// The controller ends, and another one starts that remembers nothing.
    pub(crate) async fn restart(&mut self) {
        self.stop.cancel();
        (&mut self.served).await.unwrap().unwrap();
        (self.stop, self.served) = Self::serve(&self.sim, &self.directory);
    }

    pub(crate) async fn controller(&self) -> ControllerClient<Channel> {
        ControllerClient::new(channel(&self.directory.path().join("controller.sock")).await)
    }

    /// A worker that runs, as its node calls itself.
    pub(crate) async fn worker(&self, vm: u32, on: u32) -> String {
        let name = format!("w-{vm}");
        let keys: BTreeMap<String, String> =
            [("name", name.clone()), ("pool", "kubernetes".to_owned()), ("scsihw", "virtio-scsi-single".to_owned())]
                .map(|(key, value)| (key.to_owned(), value))
                .into();
        let made = self.pve.create_guest(&node(on), vmid(vm), &keys).await.unwrap();
        self.pve.follow(&made).await.unwrap();
        self.pve.follow(&self.pve.start(&node(on), vmid(vm)).await.unwrap()).await.unwrap();
        format!("{name}/{vm}")
    }

    /// Calls of the API since the last time this was asked, those of tests among them.
    pub(crate) async fn calls(&self) -> BTreeMap<String, u64> {
        let counters = self.door.ask("GET", "/sim/counters", None).await;
        self.door.ask("DELETE", "/sim/counters", None).await;
        serde_json::from_value(counters["calls"].clone()).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.served.await.unwrap().unwrap();
        self.sim.stop().await;
    }
}

pub(crate) fn mount() -> rpc::VolumeCapability {
    rpc::VolumeCapability {
        access_mode: Some(AccessMode { mode: Mode::SingleNodeWriter.into() }),
        access_type: Some(AccessType::Mount(MountVolume::default())),
    }
}

pub(crate) fn create(name: &str, gib: i64) -> rpc::CreateVolumeRequest {
    rpc::CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: Some(rpc::CapacityRange { required_bytes: gib * GIB, limit_bytes: 0 }),
        volume_capabilities: vec![mount()],
        parameters: [("storage".to_owned(), SHARED.to_owned())].into(),
        ..rpc::CreateVolumeRequest::default()
    }
}

pub(crate) fn publish(volume: &str, node: &str) -> rpc::ControllerPublishVolumeRequest {
    rpc::ControllerPublishVolumeRequest {
        volume_id: volume.to_owned(),
        node_id: node.to_owned(),
        volume_capability: Some(mount()),
        ..rpc::ControllerPublishVolumeRequest::default()
    }
}

pub(crate) fn unpublish(volume: &str, node: &str) -> rpc::ControllerUnpublishVolumeRequest {
    rpc::ControllerUnpublishVolumeRequest {
        volume_id: volume.to_owned(),
        node_id: node.to_owned(),
        ..rpc::ControllerUnpublishVolumeRequest::default()
    }
}

pub(crate) fn delete(volume: &str) -> rpc::DeleteVolumeRequest {
    rpc::DeleteVolumeRequest { volume_id: volume.to_owned(), ..rpc::DeleteVolumeRequest::default() }
}

pub(crate) fn expand(volume: &str, gib: i64) -> rpc::ControllerExpandVolumeRequest {
    rpc::ControllerExpandVolumeRequest {
        volume_id: volume.to_owned(),
        capacity_range: Some(rpc::CapacityRange { required_bytes: gib * GIB, limit_bytes: 0 }),
        ..rpc::ControllerExpandVolumeRequest::default()
    }
}
