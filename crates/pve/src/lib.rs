//! A typed asynchronous client of the Proxmox VE API
