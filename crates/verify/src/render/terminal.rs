//! The report for a terminal of any width; signs and words carry the meaning, colour only repeats it.

use crate::report::{Check, Outcome, Report, Severity};

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// ANSI colours.
    Yes,
    /// None.
    No,
}

/// Narrower than this, lines are not broken any further: nobody could read them.
const NARROWEST: usize = 40;

/// The report as a table for a terminal that is `width` columns wide.
pub fn terminal(report: &Report, width: usize, colour: Colour) -> String {
    let width = width.max(NARROWEST);
    let paint = Paint(colour);
    let mut out = String::new();
    for step in &report.steps {
        let title = format!("{}. {}", step.number, step.title);
        if step.not_yet {
            out += &paint.dim(&format!("{title}: not run, it has no checks yet"));
            out.push('\n');
            continue;
        }
        if step.checks.is_empty() {
            out += &paint.dim(&format!("{title}: not asked for"));
            out.push('\n');
            continue;
        }
        out += &paint.bold(&title);
        out.push('\n');
        let column = step.checks.iter().map(|check| name(check).chars().count()).max().unwrap_or(0);
        for check in &step.checks {
            row(check, column, width, paint, &mut out);
        }
    }
    out.push('\n');
    out += &summary(report, paint);
    out
}

fn name(check: &Check) -> &str {
    check.id.split_once('.').map_or(check.id.as_str(), |(_, name)| name)
}

fn row(check: &Check, column: usize, width: usize, paint: Paint, out: &mut String) {
    let head = format!("  {} {:<7} {:<column$}  ", check.sign(), check.word(), name(check));
    let by = check
        .blocked_by
        .as_ref()
        .filter(|by| !check.message.contains(*by))
        .map(|by| format!("by {by}: "))
        .unwrap_or_default();
    let message = format!("{by}{}", check.message);
    let indent = head.chars().count();
    // On a narrow terminal the message goes below, so that it has room.
    let (indent, own_line) = if indent + NARROWEST > width { (6, true) } else { (indent, false) };
    *out += &paint.of(check, head.trim_end());
    if own_line {
        out.push('\n');
    } else {
        *out += &" ".repeat(indent - head.trim_end().chars().count());
    }
    let mut lines = wrap(&message, width - indent);
    if let Some(hint) = check.hint.as_ref().filter(|_| check.outcome != Outcome::Passed) {
        lines.extend(wrap(&format!("→ {hint}"), width - indent));
    }
    for (at, line) in lines.iter().enumerate() {
        if at > 0 || own_line {
            *out += &" ".repeat(indent);
        }
        *out += line;
        out.push('\n');
    }
}

fn summary(report: &Report, paint: Paint) -> String {
    let sum = &report.summary;
    let counts = [
        (sum.passed, "passed"),
        (sum.warnings, "warnings"),
        (sum.failed, "failed"),
        (sum.blocked, "blocked"),
        (sum.unread, "unread"),
        (sum.deselected, "deselected"),
    ];
    let words: Vec<String> =
        counts.iter().filter(|(n, word)| *n > 0 || *word == "passed").map(|(n, word)| format!("{n} {word}")).collect();
    let steps = if sum.steps_not_yet > 0 {
        format!("; {} of {} steps have no checks yet", sum.steps_not_yet, report.steps.len())
    } else {
        String::new()
    };
    let cluster = report.cluster.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    format!("{}{steps}\n", paint.bold(&format!("{cluster}{}", words.join(", "))))
}

/// Breaks at spaces; a word longer than the line stands alone, unbroken, so that it can be copied.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[derive(Clone, Copy)]
struct Paint(Colour);

impl Paint {
    fn code(self, code: &str, text: &str) -> String {
        match self.0 {
            Colour::Yes => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Colour::No => text.to_owned(),
        }
    }

    fn bold(self, text: &str) -> String {
        self.code("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.code("2", text)
    }

    fn of(self, check: &Check, text: &str) -> String {
        let code = match (check.outcome, check.severity) {
            (Outcome::Passed, _) => "32",
            (Outcome::Failed, Severity::Error) => "31",
            (Outcome::Failed, Severity::Info | Severity::Warning) => "33",
            (Outcome::Blocked | Outcome::Unread, _) => "35",
        };
        self.code(code, text)
    }
}

#[cfg(test)]
mod test {
    use super::wrap;

    #[test]
    fn lines_fit_and_long_words_stay_whole() {
        let lines = wrap("a path such as /very/long/path/that/does/not/fit stays whole", 16);
        assert!(lines.contains(&"/very/long/path/that/does/not/fit".to_owned()));
        assert!(lines.iter().all(|line| line.chars().count() <= 16 || !line.contains(' ')));
    }
}
