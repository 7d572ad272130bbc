//! Metric families, and the two texts that they are written as.
//!
//! The classic text is what the exporter that people use now writes, to the digit; OpenMetrics names a counter without
//! its `_total`, which is why families that are deprecated, and would then have a counter's name, are left out there.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A metric with its samples, which borrow from what was collected.
#[derive(Debug, Clone, PartialEq)]
pub struct Family<'a> {
    /// Its name, as the samples of the classic text have it.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// Gauge or counter.
    pub kind: Kind,
    /// Its samples.
    pub samples: Vec<Sample<'a>>,
}

/// What a family's values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value of the moment.
    Gauge,
    /// A gauge that a counter has replaced.
    Deprecated,
    /// A sum that grows; its name ends in `_total`.
    Counter,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// Of what.
    pub labels: Labels<'a>,
    /// The value.
    pub value: f64,
}

/// Labels; the small forms are for the many samples that have them.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels<'a> {
    /// `id`.
    Id(&'a str),
    /// `id` and `state`.
    State(&'a str, &'static str),
    /// Any, in any order.
    Many(Vec<(Cow<'a, str>, Cow<'a, str>)>),
}

/// How families are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format 0.0.4.
    Classic,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl<'a> Family<'a> {
    pub(crate) fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, help, kind, samples: Vec::new() }
    }

    pub(crate) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Gauge, help)
    }

    pub(crate) fn id(&mut self, id: &'a str, value: f64) {
        self.samples.push(Sample { labels: Labels::Id(id), value });
    }

    pub(crate) fn push<K, V>(&mut self, labels: impl IntoIterator<Item = (K, V)>, value: f64)
    where
        K: Into<Cow<'a, str>>,
        V: Into<Cow<'a, str>>,
    {
        let labels = labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        self.samples.push(Sample { labels: Labels::Many(labels), value });
    }

    /// One sample a state, 1 for the one that is.
    pub(crate) fn states(&mut self, id: &'a str, states: &[&'static str], is: Option<&str>) {
        for state in states {
            let value = f64::from(u8::from(is == Some(*state)));
            self.samples.push(Sample { labels: Labels::State(id, state), value });
        }
    }

    fn write(&self, out: &mut String, format: Format) {
        let (name, word) = match (self.kind, format) {
            (Kind::Deprecated, Format::OpenMetrics) => return,
            (Kind::Gauge | Kind::Deprecated, _) => (self.name, "gauge"),
            (Kind::Counter, Format::Classic) => (self.name, "counter"),
            (Kind::Counter, Format::OpenMetrics) => (self.name.strip_suffix("_total").unwrap_or(self.name), "counter"),
        };
        // writing to a String cannot fail
        let _ok = writeln!(out, "# HELP {name} {}\n# TYPE {name} {word}", self.help);
        for sample in &self.samples {
            out.push_str(self.name);
            sample.labels.write(out);
            out.push(' ');
            write_value(out, sample.value);
            out.push('\n');
        }
    }
}

impl Labels<'_> {
    fn write(&self, out: &mut String) {
        match self {
            Self::Id(id) => {
                out.push_str("{id=\"");
                escape(out, id);
            }
            Self::State(id, state) => {
                out.push_str("{id=\"");
                escape(out, id);
                out.push_str("\",state=\"");
                escape(out, state);
            }
            Self::Many(all) if all.is_empty() => return,
            Self::Many(all) => {
                let mut sorted: Vec<_> = all.iter().collect();
                sorted.sort();
                let mut before = "{";
                for (key, value) in sorted {
                    out.push_str(before);
                    out.push_str(key);
                    out.push_str("=\"");
                    escape(out, value);
                    before = "\",";
                }
            }
        }
        out.push_str("\"}");
    }
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

/// All families as text.
pub fn text(families: &[Family<'_>], format: Format) -> String {
    let samples: usize = families.iter().map(|family| family.samples.len()).sum();
    let mut out = String::with_capacity(samples * 56 + families.len() * 160 + 8);
    for family in families {
        family.write(&mut out, format);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

/// A number as Prometheus's Python client writes it: always with a fraction, and from a million on with an exponent.
fn write_value(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        let plain = plain(value);
        match plain.find('.') {
            Some(dot) if value > 0.0 && dot > 6 => {
                let digits: String = plain.chars().filter(char::is_ascii_digit).collect();
                let mantissa = format!("{}.{}", &digits[..1], &digits[1..]);
                let mantissa = mantissa.trim_end_matches(['0', '.']);
                let _ok = write!(out, "{mantissa}e+{:02}", dot - 1);
            }
            _ => out.push_str(&plain),
        }
    }
}

/// The shortest digits that read back as the number.
fn plain(value: f64) -> String {
    if value == 0.0 || (1e-4..1e16).contains(&value.abs()) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_python_client_writes_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (0.25, "0.25"),
            (123_456.0, "123456.0"),
            (1_234_567.0, "1.234567e+06"),
            (2_147_483_648.0, "2.147483648e+09"),
            (68_719_476_736.0, "6.8719476736e+10"),
            (1_000_000.0, "1e+06"),
            (0.000_012, "1.2e-05"),
            (-5.0, "-5.0"),
            (f64::INFINITY, "+Inf"),
        ] {
            let mut out = String::new();
            write_value(&mut out, value);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn labels_are_sorted_and_escaped() {
        let mut family = Family::gauge("x", "words");
        family.push([("b", "say \"no\"\n"), ("a", "c:\\")], 1.0);
        let text = text(&[family], Format::Classic);
        assert_eq!(text, "# HELP x words\n# TYPE x gauge\nx{a=\"c:\\\\\",b=\"say \\\"no\\\"\\n\"} 1.0\n");
    }

    #[test]
    fn openmetrics_names_counters_without_their_suffix_and_leaves_out_what_they_replaced() {
        let mut old = Family::new("pve_x_bytes", Kind::Deprecated, "old");
        old.id("qemu/1", 1.0);
        let mut new = Family::new("pve_x_bytes_total", Kind::Counter, "new");
        new.id("qemu/1", 1.0);
        let families = [old, new];
        let open = text(&families, Format::OpenMetrics);
        assert_eq!(
            open,
            "# HELP pve_x_bytes new\n# TYPE pve_x_bytes counter\npve_x_bytes_total{id=\"qemu/1\"} 1.0\n# EOF\n"
        );
        let classic = text(&families, Format::Classic);
        assert!(
            classic.contains("# TYPE pve_x_bytes gauge\n") && classic.contains("# TYPE pve_x_bytes_total counter\n")
        );
    }
}
