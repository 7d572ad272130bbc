//! What became of everything, for people: a table, and one line of numbers.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use super::run::Row;

/// The numbers of all parts together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) skipped: u32,
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

pub(super) fn total(rows: &[Row]) -> Total {
    let sum = |count: fn(&Row) -> u32| rows.iter().map(count).sum();
    Total { passed: sum(|row| row.passed), failed: sum(|row| row.failed), skipped: sum(|row| row.skipped) }
}

/// A line a part.
pub(super) fn table(rows: &[Row], elapsed: Duration) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let mut text = format!("\n{:width$}  passed  failed  skipped     time\n", "part");
    for Row { name, passed, failed, skipped, took, note } in rows {
        let seconds = took.as_secs_f64();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:width$}  {passed:6}  {failed:6}  {skipped:7}  {seconds:5.1} s  {note}");
    }
    let _ = writeln!(text, "in all {:.0} s", elapsed.as_secs_f64());
    text
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_last_line_adds_up_all_parts() {
        let row = |passed, failed, skipped| Row { passed, failed, skipped, ..Row::default() };
        assert_eq!(total(&[row(3, 0, 1), row(4, 2, 0)]).to_string(), "7 passed, 2 failed, 1 skipped");
    }
}
