//! Calendar events (`mon..fri 22:30`, `*/15`, `daily`) and the dates of texts, all in UTC.
//!
//! Promises to read what Proxmox VE reads as a schedule and to say when it is next due.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A schedule: the weekdays, dates and times of day at which it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// 0 is Monday; none for every day.
    weekdays: Option<BTreeSet<i64>>,
    years: Option<BTreeSet<i64>>,
    months: Option<BTreeSet<i64>>,
    days: Option<BTreeSet<i64>>,
    hours: BTreeSet<i64>,
    minutes: BTreeSet<i64>,
    seconds: BTreeSet<i64>,
}

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn weekday(word: &str) -> Option<i64> {
    let word = word.to_lowercase();
    let at = WEEKDAYS.iter().position(|day| word.starts_with(day))?;
    let full = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"][at];
    (word.len() == 3 || full == word).then(|| i64::try_from(at).unwrap_or_default())
}

fn weekdays(text: &str) -> Option<BTreeSet<i64>> {
    let mut days = BTreeSet::new();
    for part in text.split(',') {
        match part.split_once("..") {
            Some((from, to)) => {
                let (from, to) = (weekday(from)?, weekday(to)?);
                let mut day = from;
                days.insert(day);
                while day != to {
                    day = (day + 1) % 7;
                    days.insert(day);
                }
            }
            None => {
                days.insert(weekday(part)?);
            }
        }
    }
    Some(days)
}

/// `*`, `5`, `1..5`, `0/15`, `*/15` and lists of them.
fn numbers(text: &str, min: i64, max: i64) -> Option<BTreeSet<i64>> {
    let mut found = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<i64>().ok().filter(|s| *s > 0)?)),
            None => (part, None),
        };
        let (from, to) = if range == "*" {
            (min, max)
        } else if let Some((from, to)) = range.split_once("..") {
            (from.parse().ok()?, to.parse().ok()?)
        } else {
            let one = range.parse().ok()?;
            (one, if step.is_some() { max } else { one })
        };
        if from < min || to > max || from > to {
            return None;
        }
        let mut value = from;
        while value <= to {
            found.insert(value);
            value += step.unwrap_or(1);
        }
    }
    Some(found)
}

fn special(word: &str) -> Option<&'static str> {
    Some(match word {
        "minutely" => "*-*-* *:*:00",
        "hourly" => "*-*-* *:00:00",
        "daily" => "*-*-* 00:00:00",
        "weekly" => "mon *-*-* 00:00:00",
        "monthly" => "*-*-01 00:00:00",
        "yearly" | "annually" => "*-01-01 00:00:00",
        "quarterly" => "*-01,04,07,10-01 00:00:00",
        "semiannually" | "semi-annually" => "*-01,07-01 00:00:00",
        _ => return None,
    })
}

impl Event {
    /// Reads a schedule.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = special(text.trim()).unwrap_or(text.trim());
        let zero = || BTreeSet::from([0]);
        let mut event = Self {
            weekdays: None,
            years: None,
            months: None,
            days: None,
            hours: zero(),
            minutes: zero(),
            seconds: zero(),
        };
        let mut words: Vec<&str> = text.split_whitespace().collect();
        if words.is_empty() || words.len() > 3 {
            return None;
        }
        if let Some(days) = weekdays(words[0]) {
            event.weekdays = Some(days);
            words.remove(0);
        }
        if words.first().is_some_and(|w| w.contains('-')) {
            let parts: Vec<&str> = words.remove(0).split('-').collect();
            let (year, month, day) = match parts.as_slice() {
                [month, day] => ("*", *month, *day),
                [year, month, day] => (*year, *month, *day),
                _ => return None,
            };
            event.years = Some(numbers(year, 1970, 2199)?);
            event.months = Some(numbers(month, 1, 12)?);
            event.days = Some(numbers(day, 1, 31)?);
        }
        match words.as_slice() {
            [] if event.weekdays.is_some() || event.days.is_some() => {}
            [time] => {
                let parts: Vec<&str> = time.split(':').collect();
                match parts.as_slice() {
                    // A number alone means minutes.
                    [minutes] => {
                        event.hours = numbers("*", 0, 23)?;
                        event.minutes = numbers(minutes, 0, 59)?;
                    }
                    [hours, minutes] => {
                        event.hours = numbers(hours, 0, 23)?;
                        event.minutes = numbers(minutes, 0, 59)?;
                    }
                    [hours, minutes, seconds] => {
                        event.hours = numbers(hours, 0, 23)?;
                        event.minutes = numbers(minutes, 0, 59)?;
                        event.seconds = numbers(seconds, 0, 59)?;
                    }
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(event)
    }

    fn on(&self, date: Date) -> bool {
        let has = |set: &Option<BTreeSet<i64>>, value: i64| set.as_ref().is_none_or(|s| s.contains(&value));
        has(&self.years, i64::from(date.year()))
            && has(&self.months, i64::from(date.month()))
            && has(&self.days, i64::from(date.day()))
            && has(&self.weekdays, i64::from(date.weekday().to_monday_zero_offset()))
    }

    /// The first moment after `after` at which it is due; none if that is more than some years away.
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        let start = Timestamp::from_second(after + 1).ok()?.to_zoned(TimeZone::UTC);
        let mut date = start.date();
        for n in 0..3660 {
            if self.on(date) {
                let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
                let floor = if n == 0 { after + 1 - midnight } else { 0 };
                let times = self.hours.iter().flat_map(|h| {
                    self.minutes.iter().flat_map(move |m| self.seconds.iter().map(move |s| h * 3600 + m * 60 + s))
                });
                if let Some(at) = times.filter(|t| *t >= floor).min() {
                    return Some(midnight + at);
                }
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }
}

/// `Thu Nov 26 00:20:33 2026`, as Perl prints a local time.
pub(crate) fn clock_text(at: i64) -> String {
    print("%a %b %e %H:%M:%S %Y", at)
}

/// A moment in a form of `strftime`.
pub(crate) fn print(form: &str, at: i64) -> String {
    Timestamp::from_second(at).map(|t| t.to_zoned(TimeZone::UTC).strftime(form).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod test {
    use super::*;

    // A Thursday, 00:20:33.
    const NOW: i64 = 1_795_652_433;

    fn next(text: &str) -> String {
        let at = Event::parse(text).and_then(|e| e.next(NOW)).unwrap();
        print("%a %Y-%m-%d %H:%M:%S", at)
    }

    #[test]
    fn a_schedule_says_when_it_is_next_due() {
        assert_eq!(next("*/20"), "Thu 2026-11-26 00:40:00");
        assert_eq!(next("00:20"), "Fri 2026-11-27 00:20:00");
        assert_eq!(next("sat,sun 04:15"), "Sat 2026-11-28 04:15:00");
        assert_eq!(next("fri..mon 3..4:30"), "Fri 2026-11-27 03:30:00");
        assert_eq!(next("weekly"), "Mon 2026-11-30 00:00:00");
        assert_eq!(next("*-12-24 18:00"), "Thu 2026-12-24 18:00:00");
    }

    #[test]
    fn what_is_no_schedule_is_not_read_as_one() {
        for text in ["", "25:00", "mo 1:00", "12:61", "1-32", "every day", "*/0"] {
            assert_eq!(Event::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_that_never_comes_is_never_due() {
        assert_eq!(Event::parse("2027-2-29..31 1:0").and_then(|e| e.next(NOW)), None);
    }

    #[test]
    fn a_time_is_printed_as_perl_prints_it() {
        assert_eq!(clock_text(0), "Thu Jan  1 00:00:00 1970");
    }
}
