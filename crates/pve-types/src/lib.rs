//! Proxmox's vocabulary: numbers, names, volume ids, sizes, disks, networks; parse and print
