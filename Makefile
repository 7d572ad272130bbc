# The front door. `make help` lists what there is; the work is done by scripts/ and `cargo xtask`.

.DEFAULT_GOAL := help
# One target at a time: cargo itself uses all processors.
.NOTPARALLEL:
.PHONY: help demo clean-demo test test-full build lint gen

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Show everything on a simulated Proxmox VE with real Kubernetes (KEEP=1 leaves it running, STEP=3 stops after step 3, CNI=cilium has Cilium in it)
	@KEEP='$(KEEP)' STEP='$(STEP)' CNI='$(CNI)' scripts/demo.sh run

clean-demo: ## End what a demo left running, remove what it left
	@scripts/demo.sh clean

test: ## Lints, all tests, and the demo as an end-to-end test (OXMOX_SKIP_DEMO=1 leaves it out)
	@scripts/requirements.sh
	@echo "building the test runner"
	@cargo xtask test

test-full: ## Everything at full length; an interrupted run goes on where it was
	@scripts/requirements.sh
	@echo "building the test runner"
	@OXMOX_FULL=1 cargo xtask test

build: ## Build oxmox with the demo, the simulator and the real guests
	@scripts/requirements.sh
	cargo build --package cli --features cli/demo --package pve-sim --package guest-node

lint: ## Formatting, generated files, clippy
	@scripts/requirements.sh
	cargo fmt --all -- --check
	cargo xtask gen --check
	cargo clippy --workspace --all-targets --features cli/demo --keep-going -- -D warnings

gen: ## Write the files that are made from code
	cargo xtask gen
