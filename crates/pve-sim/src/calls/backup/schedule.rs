//! Calendar events: `mon..fri 22:30`, `*/15`, `monthly`; when one comes next (in UTC).

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A field: which numbers fit. None for all.
type Field = Option<Vec<u32>>;

/// A calendar event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// 0 for Monday.
    days: Field,
    years: Field,
    months: Field,
    month_days: Field,
    hours: Field,
    minutes: Field,
}

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

fn named(text: &str) -> Option<&'static str> {
    Some(match text {
        "minutely" => "*:*",
        "hourly" => "*:00",
        "daily" => "00:00",
        "weekly" => "mon 00:00",
        "monthly" => "*-1 00:00",
        "yearly" | "annually" => "1-1 00:00",
        "quarterly" => "1,4,7,10-1 00:00",
        "semiannually" | "semi-annually" => "1,7-1 00:00",
        _ => return None,
    })
}

/// Reads an event.
pub(crate) fn parse(text: &str) -> Option<Event> {
    let lower = text.trim().to_lowercase();
    let text = named(&lower).unwrap_or(&lower);
    let words: Vec<&str> = text.split_whitespace().collect();
    let (mut event, mut had_time, mut had_date) = (Event::default(), false, false);
    if words.is_empty() || words.len() > 3 {
        return None;
    }
    for (at, word) in words.iter().enumerate() {
        if word.starts_with(|c: char| c.is_ascii_alphabetic()) && at == 0 {
            event.days = Some(weekdays(word)?);
        } else if word.contains('-') && !had_date && !had_time {
            had_date = true;
            date(&mut event, word)?;
        } else if !had_time {
            had_time = true;
            time(&mut event, word)?;
        } else {
            return None;
        }
    }
    if !had_time {
        (event.hours, event.minutes) = (Some(vec![0]), Some(vec![0]));
    }
    Some(event)
}

fn weekday(text: &str) -> Option<u32> {
    let at = DAYS.iter().position(|d| text.len() >= 2 && d.starts_with(text))?;
    u32::try_from(at).ok()
}

fn weekdays(word: &str) -> Option<Vec<u32>> {
    let mut days = Vec::new();
    for part in word.split(',') {
        if let Some((from, to)) = part.split_once("..") {
            let (from, to) = (weekday(from)?, weekday(to)?);
            if from > to {
                return None;
            }
            days.extend(from..=to);
        } else {
            days.push(weekday(part)?);
        }
    }
    Some(days)
}

/// Reads `*`, `5`, `1..7`, `*/15`, `10/20`, and lists of them.
fn field(text: &str, low: u32, high: u32) -> Option<Field> {
    if text == "*" {
        return Some(None);
    }
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<usize>().ok().filter(|s| *s > 0)?),
            None => (part, 1),
        };
        let limit = |n: &str| n.parse::<u32>().ok().filter(|n| (low..=high).contains(n));
        let (from, to) = match range.split_once("..") {
            Some((from, to)) => (limit(from)?, limit(to)?),
            None if range == "*" => (low, high),
            None => (limit(range)?, if part.contains('/') { high } else { limit(range)? }),
        };
        if from > to {
            return None;
        }
        numbers.extend((from..=to).step_by(step));
    }
    Some(Some(numbers))
}

fn date(event: &mut Event, word: &str) -> Option<()> {
    let parts: Vec<&str> = word.split('-').collect();
    let (year, month, day) = match parts.as_slice() {
        [month, day] => ("*", *month, *day),
        [year, month, day] => (*year, *month, *day),
        _ => return None,
    };
    event.years = field(year, 1970, 2999)?;
    event.months = field(month, 1, 12)?;
    event.month_days = field(day, 1, 31)?;
    Some(())
}

fn time(event: &mut Event, word: &str) -> Option<()> {
    let parts: Vec<&str> = word.split(':').collect();
    match parts.as_slice() {
        [minutes] => event.minutes = field(minutes, 0, 59)?,
        [hours, minutes] | [hours, minutes, _] => {
            if let [_, _, seconds] = parts.as_slice() {
                field(seconds, 0, 59)?;
            }
            event.hours = field(hours, 0, 23)?;
            event.minutes = field(minutes, 0, 59)?;
        }
        _ => return None,
    }
    Some(())
}

fn fits(field: &Field, number: u32) -> bool {
    field.as_ref().is_none_or(|f| f.contains(&number))
}

fn day_fits(event: &Event, date: Date) -> bool {
    let weekday = match date.weekday() {
        Weekday::Monday => 0,
        Weekday::Tuesday => 1,
        Weekday::Wednesday => 2,
        Weekday::Thursday => 3,
        Weekday::Friday => 4,
        Weekday::Saturday => 5,
        Weekday::Sunday => 6,
    };
    fits(&event.days, weekday)
        && fits(&event.years, u32::try_from(date.year()).unwrap_or_default())
        && fits(&event.months, u32::try_from(date.month()).unwrap_or_default())
        && fits(&event.month_days, u32::try_from(date.day()).unwrap_or_default())
}

/// When the event comes next after a time; none if it doesn't, or isn't one.
pub(crate) fn next(text: &str, after: i64) -> Option<i64> {
    let event = parse(text)?;
    let start = Timestamp::from_second(after).ok()?.to_zoned(TimeZone::UTC).date();
    let midnight = after - after.rem_euclid(86_400);
    for day in 0..3000i32 {
        let date = start.checked_add(day.days()).ok()?;
        if !day_fits(&event, date) {
            continue;
        }
        let base = midnight + i64::from(day) * 86_400;
        for hour in (0..24).filter(|h| fits(&event.hours, *h)) {
            for minute in (0..60).filter(|m| fits(&event.minutes, *m)) {
                let at = base + i64::from(hour) * 3600 + i64::from(minute) * 60;
                if at > after {
                    return Some(at);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod test {
    use super::*;

    /// Tuesday 2023-11-14 22:13:20.
    const NOW: i64 = 1_700_000_000;

    fn at(text: &str) -> String {
        next(text, NOW).map_or_else(|| "never".to_owned(), crate::jobs::backup::dates::stamp)
    }

    #[test]
    fn an_event_comes_at_the_next_minute_that_fits() {
        assert_eq!(at("*/15"), "2023-11-14 22:15:00");
        assert_eq!(at("daily"), "2023-11-15 00:00:00");
        assert_eq!(at("mon..fri 22:00"), "2023-11-15 22:00:00");
        assert_eq!(at("sat 18:15"), "2023-11-18 18:15:00");
        assert_eq!(at("monthly"), "2023-12-01 00:00:00");
        assert_eq!(at("02-29 3:30"), "2024-02-29 03:30:00");
        assert_eq!(at("8..17:0/20"), "2023-11-15 08:00:00");
        assert_eq!(at("2022-01-01 00:00"), "never");
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for text in ["", "someday", "25:00", "mon..nonday", "1:2:3:4", "fri..mon 1:00", "*/0"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
