//! How large a volume is to be.

use pve_types::DiskSize;

use super::refusal::{Kind, Refusal};

/// What a volume is where nobody says: 10 GiB, as the driver that people use now has it.
pub const DEFAULT: u64 = 10 << 30;

/// Sizes are rounded up to this many bytes, as there.
const STEP: u64 = 512 << 20;

/// Proxmox VE's own limit on what a parameter can say; larger disks are beyond what it was tried with.
const MOST: u64 = 1 << 50;

/// Bytes that are wanted: at least, and at most (0: no limit).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// At least so many.
    pub required: u64,
    /// At most so many; 0 for no limit.
    pub limit: u64,
}

impl Range {
    /// Reads what a request says; absent is nothing wanted.
    pub fn read(required: i64, limit: i64) -> Result<Self, Refusal> {
        let bytes = |field: &str, value: i64| {
            u64::try_from(value).map_err(|_| {
                Refusal::new(Kind::InvalidArgument, format!("capacity_range.{field}: `{value}` is less than nothing"))
            })
        };
        let range = Self { required: bytes("required_bytes", required)?, limit: bytes("limit_bytes", limit)? };
        if range.limit > 0 && range.required > range.limit {
            return Err(Refusal::new(
                Kind::OutOfRange,
                format!("capacity_range: required_bytes {required} is more than limit_bytes {limit}"),
            ));
        }
        Ok(range)
    }

    /// The size to make: what is required (else 10 GiB), rounded up as far as the limit lets us.
    pub fn choose(self) -> Result<DiskSize, Refusal> {
        let Self { required, limit } = self;
        let wanted = match (required, limit) {
            (0, 0) => DEFAULT,
            (0, limit) => DEFAULT.min(limit),
            (required, _) => required,
        };
        if wanted > MOST {
            return Err(Refusal::new(Kind::OutOfRange, format!("capacity_range: {wanted} bytes are more than {MOST}")));
        }
        let rounded = wanted.next_multiple_of(STEP);
        if limit == 0 || rounded <= limit {
            return Ok(DiskSize::from_bytes(rounded));
        }
        // Proxmox VE counts in KiB; below the limit and above what is required there may be none.
        let rounded = wanted.next_multiple_of(1024);
        if rounded <= limit {
            return Ok(DiskSize::from_bytes(rounded));
        }
        Err(Refusal::new(
            Kind::OutOfRange,
            format!("capacity_range: no whole number of KiB lies between {required} and {limit} bytes"),
        ))
    }

    /// Whether a volume of this size is what is wanted.
    pub fn holds(self, size: DiskSize) -> bool {
        let Self { required, limit } = self;
        size.bytes() >= required && (limit == 0 || size.bytes() <= limit)
    }
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    fn range(required: u64, limit: u64) -> Range {
        Range { required, limit }
    }

    #[test]
    fn sizes_are_rounded_as_the_driver_that_people_use_now_rounds_them() {
        assert_eq!(range(0, 0).choose().unwrap().to_string(), "10G");
        assert_eq!(range(1, 0).choose().unwrap().to_string(), "512M");
        assert_eq!(range(10 << 30, 10 << 30).choose().unwrap().to_string(), "10G");
        assert_eq!(range((10 << 30) + 1, 0).choose().unwrap().to_string(), "10752M");
        assert_eq!(range(0, 1 << 30).choose().unwrap().to_string(), "1G");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(Range::read(-1, 0).unwrap_err().kind, Kind::InvalidArgument);
        assert_eq!(Range::read(2, 1).unwrap_err().kind, Kind::OutOfRange);
        assert_eq!(range(u64::MAX >> 1, 0).choose().unwrap_err().kind, Kind::OutOfRange);
        assert_eq!(range(1, 3).choose().unwrap_err().kind, Kind::OutOfRange);
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_what_was_wanted(required in 0u64..1 << 45, room in 1024u64..1 << 40, bound: bool) {
            let range = range(required, if bound { required + room } else { 0 });
            prop_assert!(range.holds(range.choose().unwrap()));
        }
    }
}
