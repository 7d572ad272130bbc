"""prometheus-pve-exporter against the simulator: every collector, and what it makes of the world."""

import sys

from prometheus_client.parser import text_string_to_metric_families
from pve_exporter.collector import CollectorsOptions, collect_pve


def main(host, ca, password):
    everything = CollectorsOptions(*[True] * len(CollectorsOptions._fields))
    config = {"user": "root@pam", "password": password, "verify_ssl": ca}
    text = collect_pve(config, host, True, True, everything).decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    up = {labels["id"]: value for labels, value in samples["pve_up"]}
    assert up["node/pve1"] == 1 and up["qemu/9000"] == 0, up
    names = {labels["name"] for labels, _ in samples["pve_guest_info"]}
    assert "ubuntu-2404-kube-v1.36.3" in names, names
    (version, _), = samples["pve_version_info"]
    assert version["release"] == "9.2", version
    assert samples["pve_cluster_info"][0][0]["nodes"] == "3", samples["pve_cluster_info"]
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
