//! The custom resources of oxmox: spec, status, conditions; prints their YAML
