import json

from proxmoxer import ProxmoxAPI
from proxmoxer.tools import Tasks

sim = json.load(open("sim.json"))
open("ca.pem", "w").write(sim["ca"])
token = sim["tokens"][0]
user, name = token["id"].split("!")
pve = ProxmoxAPI(sim["url"].removeprefix("https://"), user=user, token_name=name, token_value=token["secret"],
                 verify_ssl="ca.pem")

vmid = int(pve.cluster.nextid.get())
task = pve.nodes("pve1").qemu(9000).clone.post(newid=vmid, name="from-python", pool="kubernetes")
assert Tasks.blocking_status(pve, task, polling_interval=0.1)["exitstatus"] == "OK"
vm = pve.nodes("pve1").qemu(vmid)
vm.config.put(cores=4, tags="tested")
print(vm.config.get()["tags"])
