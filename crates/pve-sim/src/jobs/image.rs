//! What the image tools print while images are made and copied.

use crate::state::World;
use crate::state::storage::Volume;

/// The line of a new image; file-based storages only print one.
pub(crate) fn formatting(world: &World, volume: &Volume) -> String {
    let storage = world.storages.get(&volume.storage);
    let file = storage.map_or_else(|| volume.name.clone(), |s| s.file(&volume.name));
    if storage.is_some_and(|s| !s.kind().files()) {
        return format!("  Logical volume \"{}\" created.", volume.name);
    }
    if volume.format == "raw" {
        return format!("Formatting '{file}', fmt=raw size={} preallocation=off", volume.size);
    }
    format!(
        "Formatting '{file}', fmt={} cluster_size=65536 extended_l2=off preallocation=metadata compression_type=zlib \
         size={} lazy_refcounts=off refcount_bits=16",
        volume.format, volume.size
    )
}

/// The lines of a full copy into a volume.
pub(crate) fn copied(world: &World, volume: &Volume) -> Vec<String> {
    let size = human(volume.size);
    vec![
        formatting(world, volume),
        format!("allocated target volume '{}'", volume.volid()),
        format!("transferred 0.0 B of {size} (0.00%)"),
        format!("transferred {size} of {size} (100.00%)"),
        format!("transferred {size} of {size} (100.00%)"),
    ]
}

/// The lines of a linked clone.
pub(crate) fn linked(world: &World, base: &Volume, clone: &Volume) -> Vec<String> {
    let storage = world.storages.get(&clone.storage);
    let file = storage.map_or_else(|| clone.name.clone(), |s| s.file(&clone.name));
    if storage.is_some_and(|s| !s.kind().files()) {
        return vec![format!("  Logical volume \"{}\" created.", clone.name)];
    }
    let own = clone.name.rsplit('/').next().unwrap_or_default();
    let vmid = clone.vmid.unwrap_or_default();
    let back = format!("../{}", base.name);
    vec![
        format!("clone {}: images, {own}, {vmid} to {own} (base={back})", base.name),
        format!(
            "Formatting '{file}', fmt=qcow2 cluster_size=131072 extended_l2=on preallocation=off compression_type=zlib \
             size={} backing_file={back} backing_fmt={} lazy_refcounts=off refcount_bits=16",
            clone.size, base.format
        ),
    ]
}

/// Bytes with one digit after the point and a binary unit.
pub(crate) fn human(bytes: u64) -> String {
    let (mut unit, mut left) = ("B", bytes * 10);
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if left < 10_240 {
            break;
        }
        left = (left + 512) / 1024;
        unit = next;
    }
    format!("{}.{} {unit}", left / 10, left % 10)
}

#[cfg(test)]
mod test {
    use super::human;

    #[test]
    fn sizes_have_the_largest_unit_that_leaves_more_than_one() {
        assert_eq!(human(0), "0.0 B");
        assert_eq!(human(3 << 30), "3.0 GiB");
        assert_eq!(human(1536 << 20), "1.5 GiB");
        assert_eq!(human(600), "600.0 B");
    }
}
