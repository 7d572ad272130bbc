pve-sim --speed 20 --ready-file sim.json > /dev/null &
trap 'kill $!' EXIT
until [ -f sim.json ]; do sleep 0.1; done

url=$(jq -r .url sim.json)/api2/json
jq -r .ca sim.json > ca.pem
token=$(jq -r '.tokens[0] | "Authorization: PVEAPIToken=\(.id)=\(.secret)"' sim.json)
pve() { curl -sS --fail-with-body --cacert ca.pem -H "$token" "$@"; }

vmid=$(pve "$url/cluster/nextid" | jq -r .data)
upid=$(pve "$url/nodes/pve1/qemu/9000/clone" -d newid="$vmid" -d name=from-shell -d pool=kubernetes | jq -r .data)
until pve "$url/nodes/pve1/tasks/$upid/status" | jq -e '.data.status == "stopped"' > /dev/null; do sleep 0.1; done
pve "$url/nodes/pve1/qemu/$vmid/config" | jq .data
