//! Times as backups write them; the simulated nodes live in UTC.

use crate::calendar::print as print_date;

fn print(seconds: i64, format: &str) -> String {
    print_date(format, seconds)
}

/// `2026-11-23 19:31:50`.
pub(crate) fn stamp(seconds: i64) -> String {
    print(seconds, "%Y-%m-%d %H:%M:%S")
}

/// `2026_11_23-19_31_50`, as in the names of archives.
pub(crate) fn name(seconds: i64) -> String {
    print(seconds, "%Y_%m_%d-%H_%M_%S")
}

/// `Mon Nov 23 19:31:52 2026`.
pub(crate) fn long(seconds: i64) -> String {
    print(seconds, "%a %b %e %H:%M:%S %Y")
}

/// The hour, day, week, month or year that a time is in, as a word.
pub(crate) fn period(seconds: i64, what: &str) -> String {
    match what {
        "hourly" => print(seconds, "%Y-%m-%d %H"),
        "daily" => print(seconds, "%Y-%m-%d"),
        "weekly" => print(seconds, "%G-%V"),
        "monthly" => print(seconds, "%Y-%m"),
        "yearly" => print(seconds, "%Y"),
        _ => seconds.to_string(),
    }
}

/// `00:01:05`.
pub(crate) fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn times_are_written_as_backups_write_them() {
        assert_eq!(stamp(1_700_000_000), "2023-11-14 22:13:20");
        assert_eq!(name(1_700_000_000), "2023_11_14-22_13_20");
        assert_eq!(long(1_701_000_000), "Sun Nov 26 12:00:00 2023");
        assert_eq!(clock(3_725), "01:02:05");
        assert_eq!(period(1_700_000_000, "weekly"), "2023-46");
    }
}
