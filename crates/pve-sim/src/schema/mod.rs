//! What the methods look like from outside: path, who may call, which parameters.
//!
//! Promises every method that Proxmox VE has; those without a handler in [`crate::calls`] are checked like the
//! others (permission, node, parameters) and then answer 501. Assumes that the tables are well formed; a test reads
//! all of them.

pub(crate) mod addresses;
mod cluster_formats;
mod formats;
mod guest_formats;
pub(crate) mod ports;
mod propstring;
mod routes;
mod sdn;
mod verify;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

pub(crate) use formats::{is_node_name, split_list};
pub(crate) use propstring::{Parsed, parse as parse_property_string, print as print_property_string};
pub(crate) use verify::{Errors, verify};

/// The tables, a file a family. The formats come first.
const TABLES: [&str; 12] = [
    include_str!("methods/formats.txt"),
    include_str!("methods/access.txt"),
    include_str!("methods/ceph.txt"),
    include_str!("methods/cluster.txt"),
    include_str!("methods/firewall.txt"),
    include_str!("methods/ha.txt"),
    include_str!("methods/lxc.txt"),
    include_str!("methods/nodes.txt"),
    include_str!("methods/pools.txt"),
    include_str!("methods/qemu.txt"),
    include_str!("methods/sdn.txt"),
    include_str!("methods/storage.txt"),
];

/// One parameter, or one key of a property string.
#[derive(Debug, Clone)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) optional: bool,
    pub(crate) kind: Kind,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) minlen: Option<usize>,
    pub(crate) maxlen: Option<usize>,
    pub(crate) requires: Option<String>,
    pub(crate) alias: Option<String>,
    pub(crate) default_key: bool,
    pub(crate) words: Vec<String>,
    pub(crate) format: Option<String>,
    pub(crate) pattern: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Number,
    Boolean,
    String,
    Array,
}

/// One method of the API.
#[derive(Debug)]
pub(crate) struct Method {
    /// Its place among all.
    pub(crate) number: usize,
    pub(crate) verb: String,
    pub(crate) path: String,
    pub(crate) segments: Vec<String>,
    pub(crate) token_allowed: bool,
    pub(crate) proxied: bool,
    /// Done by the daemon that is root.
    pub(crate) protected: bool,
    /// `"root"`, `"all"`, `"world"` or the check expression.
    pub(crate) needs: Value,
    pub(crate) params: BTreeMap<String, Param>,
}

/// All methods and named formats.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) methods: Vec<Method>,
    pub(crate) formats: BTreeMap<String, Vec<Param>>,
    routes: routes::Routes,
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: BTreeMap<String, String>,
}

impl Method {
    /// With the values of its placeholders in a path that leads to it.
    pub(crate) fn at<'s>(&'s self, path: &[&str]) -> Found<'s> {
        Found { method: self, uri: routes::placeholders(&self.segments, path) }
    }
}

impl Schema {
    /// The table that is compiled in, read once.
    pub(crate) fn get() -> &'static Self {
        static TABLE: OnceLock<Schema> = OnceLock::new();
        TABLE.get_or_init(Self::read)
    }

    fn read() -> Self {
        let mut formats: BTreeMap<String, Vec<Param>> = BTreeMap::new();
        let mut methods: Vec<Method> = Vec::new();
        let mut format: Option<String> = None;
        for line in TABLES.iter().flat_map(|table| table.lines()) {
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            if let Some(rest) = line.strip_prefix('\t') {
                if let Some(name) = &format {
                    formats.entry(name.clone()).or_default().push(param(rest));
                } else if let Some(method) = methods.last_mut() {
                    if let Some(needs) = rest.strip_prefix("needs ") {
                        method.needs = serde_json::from_str(needs).unwrap_or(Value::Null);
                    } else {
                        let p = param(rest);
                        method.params.insert(p.name.clone(), p);
                    }
                }
            } else if let Some(name) = line.strip_prefix("format ") {
                format = Some(name.to_owned());
            } else {
                format = None;
                methods.push(method(methods.len(), line));
            }
        }
        let mut routes = routes::Routes::default();
        for method in &methods {
            routes.add(&method.verb, &method.segments, method.number);
        }
        Self { methods, formats, routes }
    }

    /// The method behind a verb and a path; a literal segment wins over a placeholder, and the last
    /// placeholder of a storage content path, and of a network in a set, takes the slashes with it.
    pub(crate) fn find<'s>(&'s self, verb: &str, path: &[&str]) -> Option<Found<'s>> {
        self.lookup(verb, path).map(|method| method.at(path))
    }

    /// The same without the values of the placeholders.
    pub(crate) fn lookup(&self, verb: &str, path: &[&str]) -> Option<&Method> {
        self.methods.get(self.routes.find(verb, path)?)
    }
}

fn method(number: usize, line: &str) -> Method {
    let mut words = line.split(' ');
    let verb = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    let flags: Vec<&str> = words.collect();
    Method {
        number,
        segments: path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
        verb,
        path,
        token_allowed: !flags.contains(&"notoken"),
        proxied: flags.contains(&"proxy"),
        protected: flags.contains(&"protected"),
        needs: Value::Null,
        params: BTreeMap::new(),
    }
}

fn param(line: &str) -> Param {
    let (line, pattern) = match line.split_once(" pattern=") {
        Some((before, pattern)) => (before, Some(pattern.to_owned())),
        None => (line, None),
    };
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let mut p = Param {
        name: name.trim_end_matches('?').to_owned(),
        optional: name.ends_with('?'),
        kind: Kind::String,
        min: None,
        max: None,
        minlen: None,
        maxlen: None,
        requires: None,
        alias: None,
        default_key: false,
        words: Vec::new(),
        format: None,
        pattern,
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "integer" => p.kind = Kind::Integer,
            "number" => p.kind = Kind::Number,
            "boolean" => p.kind = Kind::Boolean,
            "array" => p.kind = Kind::Array,
            "min" => p.min = value.parse().ok(),
            "max" => p.max = value.parse().ok(),
            "minlen" => p.minlen = value.parse().ok(),
            "maxlen" => p.maxlen = value.parse().ok(),
            "requires" => p.requires = Some(value.to_owned()),
            "alias" => {
                p.alias = Some(value.to_owned());
                p.optional = true;
            }
            "default_key" => p.default_key = true,
            "enum" => p.words = value.split(',').map(str::to_owned).collect(),
            "fmt" => p.format = Some(value.to_owned()),
            _ => {}
        }
    }
    p
}

/// The keys of a configuration value that is a property string.
pub(crate) fn lookup_format<'a>(schema: &'a Schema, key: &str) -> Option<&'a [Param]> {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    schema.formats.get(stem).or_else(|| schema.formats.get(&format!("{stem}n"))).map(Vec::as_slice)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_method_of_the_table_says_who_may_call_it() {
        let schema = Schema::get();
        assert!(schema.methods.len() > 100);
        assert!(schema.methods.iter().all(|m| !m.needs.is_null()), "a method without `needs`");
    }

    #[test]
    fn a_literal_segment_wins_over_a_placeholder() {
        let schema = Schema::get();
        let found = schema.find("GET", &["nodes", "pve1", "qemu", "101", "status", "current"]).unwrap();
        assert_eq!(found.method.path, "/nodes/{node}/qemu/{vmid}/status/current");
        assert_eq!(found.uri["vmid"], "101");
        assert!(schema.find("GET", &["VERSION"]).is_none());
    }

    #[test]
    fn a_volume_keeps_its_slashes() {
        let schema = Schema::get();
        let path = ["nodes", "pve1", "storage", "local", "content", "local:iso", "x.iso"];
        assert_eq!(schema.find("DELETE", &path).unwrap().uri["volume"], "local:iso/x.iso");
    }
}
