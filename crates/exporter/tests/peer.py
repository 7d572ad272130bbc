"""prometheus-pve-exporter and ours on the same simulator, the clock of which stands still: what differs, as JSON."""

import json
import sys
import time
import urllib.request

from prometheus_client.parser import text_string_to_metric_families
from proxmoxer import ProxmoxAPI
from proxmoxer.tools import Tasks
from pve_exporter.collector import CollectorsOptions, collect_pve


TEMPLATE = "local:vztmpl/debian.tar.zst"


def door(control, path, body=None):
    """The simulator's control door."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(control + path, data, {"content-type": "application/json"})
    return json.loads(urllib.request.urlopen(request).read() or "null")


def add_template(control):
    """What containers are made from, which a simulator does not have at first."""
    state = door(control, "/sim/state")
    state["volumes"].append({
        "storage": "local", "node": "pve1", "name": TEMPLATE.split(":")[1], "content": "vztmpl", "format": "tzst",
        "size": 3000000, "ctime": 1, "parent": None, "vmid": None})
    door(control, "/sim/load", state)


def furnish(pve):
    """Something for every collector: a container, replication, high availability, a backup job, a subscription."""

    def done(upid):
        assert Tasks.blocking_status(pve, upid, polling_interval=0.05)["exitstatus"] == "OK"

    done(pve.nodes("pve1").lxc.post(
        vmid=900, hostname="ct-900", ostemplate=TEMPLATE, rootfs="local-zfs:1", memory=128, onboot=1))
    done(pve.nodes("pve1").qemu.post(vmid=901, name="replicated", memory=512, scsi0="local-zfs:1"))
    pve.cluster.replication.post(id="901-0", type="local", target="pve2")
    pve.nodes("pve1").qemu(100).config.put(onboot=1, tags="a;b")
    pve.nodes("pve1").qemu(103).config.put(onboot=0)
    pve.cluster.ha.resources.post(sid="vm:103", state="started")
    pve.cluster.backup.post(vmid="100", storage="local", schedule="daily", id="one")
    pve.nodes("pve1").subscription.put(key="pve1c-0123456789")


def samples(text):
    out = {}
    kinds = {}
    for family in text_string_to_metric_families(text):
        kinds[family.name] = family.type
        for sample in family.samples:
            key = f"{sample.name}{json.dumps(sample.labels, sort_keys=True)}"
            assert key not in out, f"twice: {key}"
            out[key] = sample.value
    return kinds, out


def lines(text):
    return [line for line in text.splitlines() if not line.startswith(("#", "oxmox_"))]


def ours(url):
    """Until all configurations are known, which are read in the background."""
    for _ in range(200):
        text = urllib.request.urlopen(url).read().decode()
        found = samples(text)[1]
        all_of = [v for k, v in found.items() if k.startswith("oxmox_exporter_guest_configs{")]
        known = [v for k, v in found.items() if k.startswith("oxmox_exporter_guest_configs_known{")]
        if all_of == known:
            return text
        time.sleep(0.05)
    raise AssertionError("configurations are not read")


def main(target, ca, password, exporter, control):
    config = {"user": "root@pam", "password": password, "verify_ssl": ca}
    add_template(control)
    furnish(ProxmoxAPI(target, **config))
    # what is broadcast now and then, now; then nothing moves any more
    door(control, "/sim/tick", {})
    door(control, "/sim/clock", {"frozen": True})
    everything = CollectorsOptions(*[True] * len(CollectorsOptions._fields))
    theirs = collect_pve(config, target, True, True, everything).decode()
    mine = ours(f"http://{exporter}/pve?target={target}")
    (their_kinds, their_samples), (my_kinds, my_samples) = samples(theirs), samples(mine)
    order = [line.split()[2] for line in theirs.splitlines() if line.startswith("# TYPE")]
    my_order = [line.split()[2] for line in mine.splitlines() if line.startswith("# TYPE")]
    print(json.dumps({
        "samples": len(their_samples),
        "families_only_theirs": sorted(set(their_kinds) - set(my_kinds)),
        "families_only_ours": sorted(set(my_kinds) - set(their_kinds)),
        "kinds_differ": sorted(k for k in their_kinds if k in my_kinds and their_kinds[k] != my_kinds[k]),
        "only_theirs": sorted(set(their_samples) - set(my_samples)),
        "only_ours": sorted(set(my_samples) - set(their_samples)),
        "values_differ": sorted(f"{k}: {v} {my_samples[k]}" for k, v in their_samples.items() if k in my_samples and my_samples[k] != v),
        "same_order": order == [name for name in my_order if not name.startswith("oxmox_")],
        # comments apart, which are in words of our own
        "lines_differ": [pair for pair in zip(lines(theirs), lines(mine)) if pair[0] != pair[1]][:5],
        "empty_families": sorted(name for name in order if f"\n{name}{{" not in theirs),
    }))


if __name__ == "__main__":
    main(*sys.argv[1:])
