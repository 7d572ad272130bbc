//! The Container Storage Interface v1.12 and the kubelet's plugin registration v1, as tonic services.
//!
//! * What it is: generated code, committed, so that no build needs a protocol compiler. The `.proto` files in `proto/`
//!   are those of the Go modules that their first lines name.
//! * What it promises: nothing of ours is in here; `cargo run -p csi-proto --features generate -- --check` says whether
//!   the code is what the `.proto` files say.

/// Container Storage Interface v1.12: messages, servers, and with the feature `client` clients.
pub mod csi {
    include!("generated/csi.v1.rs");
}

/// The kubelet's plugin registration v1.
pub mod registration {
    include!("generated/pluginregistration.rs");
}

/// The version of the interface, as registration names it.
pub const CSI_VERSION: &str = "1.12.0";
