//! A Proxmox VE that fits in a test: HTTP server, state, tasks, faults
