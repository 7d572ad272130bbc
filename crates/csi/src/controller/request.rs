//! What requests say, read once.

use csi_proto::csi;
use csi_proto::csi::volume_capability::AccessType;
use csi_proto::csi::volume_capability::access_mode::Mode;
use plan::volume::{FsType, Kind, Range, Refusal};

use crate::status::missing;

/// A region's topology key.
pub(crate) const REGION: &str = "topology.kubernetes.io/region";
/// A zone's topology key: the node of Proxmox VE.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";

/// The longest name that the interface allows.
const NAME: usize = 128;

/// A name that is not empty nor too long.
pub(crate) fn name<'a>(field: &str, text: &'a str) -> Result<&'a str, Refusal> {
    match text.len() {
        0 => Err(missing(field)),
        length if length > NAME => {
            Err(Refusal::new(Kind::InvalidArgument, format!("{field}: {length} characters; {NAME} are allowed")))
        }
        _ => Ok(text),
    }
}

/// Refuses what no volume of ours can be.
pub(crate) fn capability(field: &str, of: &csi::VolumeCapability) -> Result<(), Refusal> {
    match &of.access_type {
        None => return Err(missing(&format!("{field}.access_type"))),
        Some(AccessType::Mount(mount)) => {
            FsType::read(&format!("{field}.mount.fs_type"), &mount.fs_type)?;
        }
        Some(AccessType::Block(_)) => {}
    }
    let mode = of.access_mode.as_ref().ok_or_else(|| missing(&format!("{field}.access_mode")))?;
    match Mode::try_from(mode.mode) {
        Ok(
            Mode::SingleNodeWriter
            | Mode::SingleNodeReaderOnly
            | Mode::SingleNodeSingleWriter
            | Mode::SingleNodeMultiWriter,
        ) => Ok(()),
        other => {
            let mode = other.map_or_else(|_| mode.mode.to_string(), |mode| mode.as_str_name().to_owned());
            let why = format!(
                "{field}.access_mode: `{mode}` is not possible: a volume is attached to one node at a time; ask for ReadWriteOnce"
            );
            Err(Refusal::new(Kind::InvalidArgument, why))
        }
    }
}

/// All of them, and at least one.
pub(crate) fn capabilities(field: &str, all: &[csi::VolumeCapability]) -> Result<(), Refusal> {
    if all.is_empty() {
        return Err(missing(field));
    }
    all.iter().enumerate().try_for_each(|(index, of)| capability(&format!("{field}[{index}]"), of))
}

/// The sizes that are wanted.
pub(crate) fn range(range: Option<&csi::CapacityRange>) -> Result<Range, Refusal> {
    range.map_or(Ok(Range::default()), |range| Range::read(range.required_bytes, range.limit_bytes))
}

/// Bytes as the interface writes them.
pub(crate) fn bytes(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A page of a list: where it starts, and the token of the next.
pub(crate) fn page(total: usize, token: &str, most: i32) -> Result<(std::ops::Range<usize>, String), Refusal> {
    let most = usize::try_from(most)
        .map_err(|_| Refusal::new(Kind::InvalidArgument, format!("max_entries: `{most}` is less than nothing")))?;
    let start = match token {
        "" => 0,
        text => text.parse().ok().filter(|start| *start <= total).ok_or_else(|| {
            Refusal::new(Kind::Aborted, format!("starting_token: `{text}` is none of ours: begin anew"))
        })?,
    };
    let end = if most == 0 { total } else { total.min(start + most) };
    let next = if end < total { end.to_string() } else { String::new() };
    Ok((start..end, next))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn pages_join_without_gap_and_a_foreign_token_is_refused() {
        assert_eq!(page(5, "", 0).unwrap(), (0..5, String::new()));
        assert_eq!(page(5, "", 2).unwrap(), (0..2, "2".to_owned()));
        assert_eq!(page(5, "4", 2).unwrap(), (4..5, String::new()));
        assert_eq!(page(5, "x", 2).unwrap_err().kind, Kind::Aborted);
        assert_eq!(page(5, "", -1).unwrap_err().kind, Kind::InvalidArgument);
    }

    #[test]
    fn an_access_mode_of_several_nodes_is_refused_by_its_name() {
        let of = |mode: Mode| csi::VolumeCapability {
            access_mode: Some(csi::volume_capability::AccessMode { mode: mode.into() }),
            access_type: Some(AccessType::Block(csi::volume_capability::BlockVolume {})),
        };
        let refusal = capabilities("volume_capabilities", &[of(Mode::MultiNodeMultiWriter)]).unwrap_err();
        assert!(refusal.why.contains("volume_capabilities[0].access_mode: `MULTI_NODE_MULTI_WRITER`"), "{refusal}");
        assert!(capabilities("volume_capabilities", &[of(Mode::SingleNodeWriter)]).is_ok());
        assert_eq!(capabilities("volume_capabilities", &[]).unwrap_err().kind, Kind::InvalidArgument);
    }
}
