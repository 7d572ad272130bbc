"""A foreign client against the simulator: logs in by token and by password, and leads one VM through its life."""

import sys
import time

from proxmoxer import ProxmoxAPI, ResourceException


def wait(api, upid):
    node = upid.split(":")[1]
    while True:
        status = api.nodes(node).tasks(upid).status.get()
        if status["status"] == "stopped":
            assert status["exitstatus"] == "OK", status
            return
        time.sleep(0.02)


def main(host, port, ca, secret, password):
    by_password = ProxmoxAPI(host, port=port, user="root@pam", password=password, verify_ssl=ca)
    assert by_password.version.get()["release"] == "9.2"
    assert [u["userid"] for u in by_password.access.users.get()] == ["capi@pve", "root@pam"]

    api = ProxmoxAPI(host, port=port, user="capi@pve", token_name="oxmox", token_value=secret, verify_ssl=ca)
    assert sorted(n["node"] for n in api.nodes.get()) == ["pve1", "pve2", "pve3"]
    vmid = int(api.cluster.nextid.get())
    template = api.nodes("pve1").qemu(9000)
    wait(api, template.clone.post(newid=vmid, name="foreign", pool="kubernetes", full=1, storage="shared"))
    vm = api.nodes("pve1").qemu(vmid)
    vm.config.put(cores=1, memory=1024, tags="Foreign")
    assert vm.config.get()["tags"] == "foreign"
    wait(api, vm.status.start.post())
    assert vm.status.current.get()["status"] == "running"
    assert vm.agent.ping.post() == {"result": {}}
    try:
        vm.delete()
        raise AssertionError("destroyed while it runs")
    except ResourceException as refusal:
        assert refusal.status_code == 500, refusal
        assert f"VM {vmid} is running - destroy failed" in str(refusal), refusal
    wait(api, vm.status.stop.post())
    wait(api, vm.delete(purge=1))
    assert vmid not in [g["vmid"] for g in api.cluster.resources.get(type="vm")]
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
