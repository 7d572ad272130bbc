//! From a verb and a path to its method, a step a segment.
//!
//! Promises that a literal segment wins over a placeholder, and that the last placeholder of a volume's path takes the
//! slashes with it, as that of a network in a set does.

use std::collections::{BTreeMap, HashMap};

/// What follows a path so far.
#[derive(Debug, Default)]
pub(super) struct Routes {
    literal: HashMap<String, Routes>,
    /// A placeholder takes any one segment.
    any: Option<Box<Routes>>,
    /// Methods of this path by verb: their number.
    here: Vec<(String, usize)>,
    /// Methods whose last placeholder takes all that is left.
    rest: Vec<(String, usize)>,
}

fn takes_rest(segment: &str) -> bool {
    segment == "{volume}" || segment == "{cidr}"
}

fn of(methods: &[(String, usize)], verb: &str) -> Option<usize> {
    methods.iter().find(|(v, _)| v == verb).map(|(_, number)| *number)
}

impl Routes {
    pub(super) fn add(&mut self, verb: &str, segments: &[String], number: usize) {
        match segments {
            [] => self.here.push((verb.to_owned(), number)),
            [last] if takes_rest(last) => self.rest.push((verb.to_owned(), number)),
            [first, more @ ..] if first.starts_with('{') => self.any.get_or_insert_default().add(verb, more, number),
            [first, more @ ..] => self.literal.entry(first.clone()).or_default().add(verb, more, number),
        }
    }

    /// The number of the method.
    pub(super) fn find(&self, verb: &str, path: &[&str]) -> Option<usize> {
        let Some((first, more)) = path.split_first() else { return of(&self.here, verb) };
        let literal = self.literal.get(*first).and_then(|next| next.find(verb, more));
        literal.or_else(|| self.any.as_ref().and_then(|next| next.find(verb, more))).or_else(|| of(&self.rest, verb))
    }
}

/// The values of the placeholders of a path that was found.
pub(super) fn placeholders(segments: &[String], path: &[&str]) -> BTreeMap<String, String> {
    let mut uri = BTreeMap::new();
    for (at, segment) in segments.iter().enumerate() {
        let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else { continue };
        let value = if takes_rest(segment) && at + 1 == segments.len() {
            path[at..].join("/")
        } else {
            path.get(at).copied().unwrap_or_default().to_owned()
        };
        uri.insert(name.to_owned(), value);
    }
    uri
}

#[cfg(test)]
mod test {
    use super::*;

    fn routes(of: &[&str]) -> Routes {
        let mut routes = Routes::default();
        for (number, line) in of.iter().enumerate() {
            let (verb, path) = line.split_once(' ').unwrap();
            let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
            routes.add(verb, &segments, number);
        }
        routes
    }

    #[test]
    fn a_placeholder_is_tried_where_a_literal_leads_nowhere() {
        let routes = routes(&["GET /a/{x}/b", "GET /a/c", "PUT /a/{x}"]);
        assert_eq!(routes.find("GET", &["a", "c", "b"]), Some(0));
        assert_eq!(routes.find("GET", &["a", "c"]), Some(1));
        assert_eq!(routes.find("PUT", &["a", "c"]), Some(2));
        assert_eq!(routes.find("DELETE", &["a", "c"]), None);
        assert_eq!(routes.find("GET", &["a"]), None);
    }

    #[test]
    fn a_volume_takes_what_is_left_but_never_nothing() {
        let routes = routes(&["GET /content/{volume}", "GET /content"]);
        assert_eq!(routes.find("GET", &["content", "local:iso", "x.iso"]), Some(0));
        assert_eq!(routes.find("GET", &["content"]), Some(1));
    }
}
