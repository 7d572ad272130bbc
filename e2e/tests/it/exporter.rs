//! The exporter under the rights of the chart: which guest is which Machine and Node, which volume which claim.

use std::time::Duration;

use e2e::{MachineWish, Stage, StageOptions};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use testkit::{NotYet, eventually};

const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn guests_and_volumes_are_told_with_their_names_in_kubernetes() {
    let name = "guests_and_volumes_are_told_with_their_names_in_kubernetes";
    let Some(stage) = Stage::set(name, StageOptions::default()).await.unwrap() else { return };
    stage.cluster(json!({})).await.unwrap();
    stage.machine(&MachineWish::named("one")).await.unwrap();
    stage.until_ready("one", LIMIT).await.unwrap();
    stage.joined("one").await.unwrap();
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": {"name": "pvc-7"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "csi.proxmox.sinextra.dev", "volumeHandle": "dc1//shared/9999/vm-9999-pvc-7.raw"},
            "claimRef": {"namespace": "db", "name": "data"},
        },
    }))
    .unwrap();
    let volumes: Api<PersistentVolume> = Api::all(stage.kube.clone());
    volumes.create(&PostParams::default(), &volume).await.unwrap();

    let port = testkit::free_port().unwrap();
    let exporter = stage.exporter(port, &["--kubernetes"]).await.unwrap();
    let vmid = stage.vms().await.unwrap()[0];
    let target = stage.sim.url().trim_start_matches("https://").to_owned();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let lines = [
        format!(
            "oxmox_machine_info{{cluster=\"story\",id=\"qemu/{vmid}\",machine=\"one\",namespace=\"default\",node=\"one\"}} 1.0"
        ),
        "oxmox_volume_info{namespace=\"db\",pv=\"pvc-7\",pvc=\"data\",volid=\"shared:9999/vm-9999-pvc-7.raw\"} 1.0"
            .into(),
        "oxmox_exporter_kubernetes_success 1.0".into(),
        format!("pve_up{{id=\"qemu/{vmid}\"}} 1.0"),
    ];
    let told = eventually(LIMIT, || async {
        let url = format!("http://127.0.0.1:{port}/pve?target={target}");
        let answer = http.get(url).send().await.map_err(|why| NotYet::because(why.to_string()))?;
        let text = answer.text().await.map_err(|why| NotYet::because(why.to_string()))?;
        match lines.iter().find(|line| !text.lines().any(|one| one == line.as_str())) {
            None => Ok(()),
            Some(line) => Err(NotYet::because(format!("there is no {line}"))),
        }
    });
    told.await.unwrap_or_else(|why| panic!("{why}\n{}", exporter.tail()));
    exporter.stop(Duration::from_secs(10)).await.unwrap();
    stage.strike().await.unwrap();
}
