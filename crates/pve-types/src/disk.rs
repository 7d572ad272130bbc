//! A guest's disk as its configuration writes it: `file[,option=value]…`.
//!
//! Proxmox prints the file first and the options by name; a text that we wrote comes back in another
//! order, so compare parsed disks, never texts.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::invalid::serde_as_text;
use crate::{DiskSize, Invalid, PropertyString, VolumeId};

/// One disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskSpec {
    /// What is in the drive.
    pub file: DiskFile,
    /// Its size, when Proxmox says (it is for information; resizing has its own call).
    pub size: Option<DiskSize>,
    /// Disk or CD, when it says; a disk otherwise.
    pub media: Option<Media>,
    /// Every other option as it stands.
    pub options: BTreeMap<String, String>,
}

/// What is in a drive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskFile {
    /// A volume, or an order for one (`data:32`, `data:cloudinit`).
    Volume(VolumeId),
    /// An empty CD drive.
    Empty,
    /// The host's own CD drive.
    HostDrive,
    /// A path on the host.
    Path(String),
}

/// What a drive looks like to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Media {
    /// A disk.
    Disk,
    /// A CD.
    Cdrom,
}

impl DiskSpec {
    /// A disk that is this volume and nothing more.
    pub fn of(volume: VolumeId) -> Self {
        Self { file: DiskFile::Volume(volume), size: None, media: None, options: BTreeMap::new() }
    }

    /// The volume in the drive, if it is one.
    pub fn volume(&self) -> Option<&VolumeId> {
        match &self.file {
            DiskFile::Volume(volume) => Some(volume),
            DiskFile::Empty | DiskFile::HostDrive | DiskFile::Path(_) => None,
        }
    }

    /// Whether the guest sees a CD.
    pub fn is_cdrom(&self) -> bool {
        self.media == Some(Media::Cdrom)
    }

    /// The option's value.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }
}

impl FromStr for DiskFile {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "none" => Ok(Self::Empty),
            "cdrom" => Ok(Self::HostDrive),
            path if path.starts_with('/') && !path.contains(',') => Ok(Self::Path(path.to_owned())),
            volume => volume.parse().map(Self::Volume),
        }
    }
}

impl fmt::Display for DiskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(volume) => volume.fmt(f),
            Self::Empty => f.write_str("none"),
            Self::HostDrive => f.write_str("cdrom"),
            Self::Path(path) => f.write_str(path),
        }
    }
}

impl FromStr for DiskSpec {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |why| Invalid::new("a disk", text, why);
        let (head, pairs) = text.parse::<PropertyString>()?.into_parts();
        let mut options: BTreeMap<String, String> = pairs.into_iter().collect();
        let file = head
            .or_else(|| options.remove("file"))
            .or_else(|| options.remove("volume"))
            .ok_or_else(|| bad("it names no volume"))?;
        let media = match options.remove("media").as_deref() {
            None => None,
            Some("disk") => Some(Media::Disk),
            Some("cdrom") => Some(Media::Cdrom),
            Some(_) => return Err(bad("its media is neither `disk` nor `cdrom`")),
        };
        let size = options.remove("size").map(|s| s.parse()).transpose()?;
        Ok(Self { file: file.parse()?, size, media, options })
    }
}

impl fmt::Display for DiskSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, size, media, options } = self;
        let mut all = options.clone();
        if let Some(media) = media {
            let word = match media {
                Media::Disk => "disk",
                Media::Cdrom => "cdrom",
            };
            all.insert("media".to_owned(), word.to_owned());
        }
        if let Some(size) = size {
            all.insert("size".to_owned(), size.to_string());
        }
        write!(f, "{file}")?;
        all.iter().try_for_each(|(k, v)| write!(f, ",{k}={v}"))
    }
}

serde_as_text!(DiskSpec);
