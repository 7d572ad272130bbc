//! Budgets: how many calls a client may make, to be found out by its tests.
//!
//! A rule is `KEY=N`: `total`, a verb (`POST`), `writes`, `status:500`, `user:GLOB`, `client:GLOB`, or a method as
//! `VERB PATH` or `PATH` with the path as a template or with `*` for anything.

use std::str::FromStr;

use serde::Serialize;

use crate::faults::glob;

/// What a budget counts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Total,
    Writes,
    Verb(String),
    Status(u16),
    User(String),
    Client(String),
    Method(Option<String>, String),
}

/// A rule and what it has counted.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Budget {
    rule: String,
    #[serde(skip)]
    of: Of,
    limit: u64,
    count: u64,
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "read budget `{text}`: not KEY=N with KEY of total, writes, POST, `GET /path`, user:NAME, client:NAME, \
                 status:500"
            )
        };
        let (key, limit) = text.rsplit_once('=').ok_or_else(wrong)?;
        let of = match key.split_once([':', '=']) {
            Some(("user", glob)) => Of::User(glob.to_owned()),
            Some(("client", glob)) => Of::Client(glob.to_owned()),
            Some(("status", status)) => Of::Status(status.parse().map_err(|_| wrong())?),
            _ => match key {
                "total" => Of::Total,
                "writes" => Of::Writes,
                "GET" | "POST" | "PUT" | "DELETE" => Of::Verb(key.to_owned()),
                path if path.starts_with(['/', '*']) => Of::Method(None, path.to_owned()),
                other => match other.split_once(' ') {
                    Some((verb, path)) if path.starts_with(['/', '*']) => {
                        Of::Method(Some(verb.to_owned()), path.to_owned())
                    }
                    _ => return Err(wrong()),
                },
            },
        };
        Ok(Self { rule: text.to_owned(), of, limit: limit.parse().map_err(|_| wrong())?, count: 0 })
    }
}

impl Budget {
    /// The same rule, with nothing counted.
    pub(crate) fn anew(self) -> Self {
        Self { count: 0, ..self }
    }

    pub(crate) fn count(&mut self, verb: &str, template: &str, user: &str, client: &str, status: u16) {
        let counts = match &self.of {
            Of::Total => true,
            Of::Writes => verb != "GET",
            Of::Verb(wanted) => wanted == verb,
            Of::Status(wanted) => *wanted == status,
            Of::User(wanted) => glob(wanted, user),
            Of::Client(wanted) => glob(wanted, client),
            Of::Method(wanted, path) => wanted.as_deref().is_none_or(|w| w == verb) && glob(path, template),
        };
        self.count += u64::from(counts);
    }

    /// What to say if there were more calls than the rule allows.
    pub(crate) fn broken(&self) -> Option<String> {
        (self.count > self.limit).then(|| format!("{}: {} calls", self.rule, self.count))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn counted(rule: &str) -> u64 {
        let mut budget: Budget = rule.parse().unwrap();
        budget.count("GET", "/version", "root@pam", "curl/8", 200);
        budget.count("POST", "/pools", "a@pve!t", "Go-http-client/1.1", 500);
        budget.count("POST", "/nodes/{node}/qemu/{vmid}/clone", "a@pve!t", "Go-http-client/1.1", 200);
        budget.count
    }

    #[test]
    fn a_rule_counts_what_it_names_and_nothing_else() {
        for (rule, count) in [
            ("total=1", 3),
            ("writes=1", 2),
            ("GET=0", 1),
            ("DELETE=0", 0),
            ("user:a@pve*=9", 2),
            ("user=a@pve*=9", 2),
            ("client:curl*=9", 1),
            ("status:500=0", 1),
            ("POST /nodes/{node}/qemu/{vmid}/clone=1", 1),
            ("GET /nodes/*=1", 0),
            ("/nodes/*=1", 1),
        ] {
            assert_eq!(counted(rule), count, "{rule}");
        }
    }

    #[test]
    fn a_budget_is_broken_by_one_call_too_many() {
        let mut budget: Budget = "POST=1".parse().unwrap();
        budget.count("POST", "/pools", "", "", 200);
        assert_eq!(budget.broken(), None);
        budget.count("POST", "/pools", "", "", 200);
        assert_eq!(budget.broken().unwrap(), "POST=1: 2 calls");
    }

    #[test]
    fn a_rule_that_counts_nothing_known_is_refused() {
        for text in ["POST", "PATCH=1", "POST=many", "status:x=1", "version=1", ""] {
            assert!(text.parse::<Budget>().is_err(), "{text}");
        }
    }
}
