//! Tests against the real binary, a real API server and a simulated Proxmox.
