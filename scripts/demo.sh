#!/bin/sh
# `make demo`, `make demo KEEP=1`, `make clean-demo`: builds and prepares as whoever calls, and gives only the part
# with real nodes to root.
set -eu
cd "$(dirname "$0")/.."
OXMOX=$PWD/target/debug/oxmox
cache=${OXMOX_CACHE:-${HOME:?set HOME, or OXMOX_CACHE}/.cache/oxmox}

# Runs the binary as root; HOME and the cache stay those of the caller.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		exec env OXMOX_CACHE="$cache" "$OXMOX" "$@"
	fi
	if ! command -v sudo >/dev/null 2>&1; then
		echo "error: not root, and there is no sudo" >&2
		echo "hint: as root, run: HOME=$HOME OXMOX_CACHE=$cache $OXMOX $*" >&2
		exit 1
	fi
	exec sudo env HOME="$HOME" OXMOX_CACHE="$cache" "$OXMOX" "$@"
}

case ${1:-} in
run)
	scripts/requirements.sh
	echo "building oxmox, pve-sim and guest-node"
	cargo build --package cli --features cli/demo --package pve-sim --package guest-node
	cni=${CNI:-kube-router}
	"$OXMOX" demo --cni "$cni" prepare
	if [ "$(id -u)" != 0 ]; then
		echo "The VMs of the demo are real nodes: they need network, mount and process namespaces, cgroups and mounts"
		echo "of their own, and making these needs root. Everything is built; only this part runs through sudo."
	fi
	if [ -n "${KEEP:-}" ] && [ "$KEEP" != 0 ]; then
		as_root demo --cni "$cni" --keep
	fi
	if [ -n "${STEP:-}" ]; then
		as_root demo --cni "$cni" --step "$STEP"
	fi
	as_root demo --cni "$cni"
	;;
clean)
	if [ ! -x "$OXMOX" ] || ! "$OXMOX" demo --help >/dev/null 2>&1; then
		if [ ! -d "$cache/leash" ]; then
			echo "nothing to clean: no demo was ever run here"
			exit 0
		fi
		cargo build --package cli --features cli/demo --package pve-sim --package guest-node
	fi
	as_root demo clean
	;;
*)
	echo "usage: scripts/demo.sh run|clean" >&2
	exit 2
	;;
esac
