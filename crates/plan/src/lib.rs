//! Every decision oxmox makes. Pure
