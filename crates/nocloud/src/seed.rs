//! The seed: three files on a volume called `cidata`, which cloud-init, Talos and cloudbase-init
//! look for among the drives at boot.

use crate::iso::{self, File};
use crate::{MetaData, NetworkConfig};

/// Volume label by which a guest finds its seed. Lower case is what the readers' documents show;
/// they look for both.
const LABEL: &str = "cidata";

/// All that a VM is told on its first boot.
///
/// It has no `Debug`: user data carries join tokens and private keys.
#[derive(Clone, Copy)]
pub struct Seed<'a> {
    /// What the guest shall do, in whatever format it understands; never looked into.
    pub user_data: &'a [u8],
    /// Who the guest is.
    pub meta_data: &'a MetaData,
    /// How its network cards are set up.
    pub network: &'a NetworkConfig,
}

impl Seed<'_> {
    /// The seed as an image for a CD-ROM drive: ISO 9660 with Rock Ridge and Joliet names.
    ///
    /// The same seed gives the same bytes: the dates in it are fixed.
    pub fn to_iso(&self) -> Vec<u8> {
        let meta_data = self.meta_data.to_yaml();
        let network = self.network.to_yaml();
        iso::image(
            LABEL,
            [
                File { short: "META_DAT", name: "meta-data", bytes: meta_data.as_bytes() },
                File { short: "NETWORK_", name: "network-config", bytes: network.as_bytes() },
                File { short: "USER_DAT", name: "user-data", bytes: self.user_data },
            ],
        )
    }
}
