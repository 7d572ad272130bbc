//! One call: a method, a path made from a template, parameters.
//!
//! The template is what metrics count by; the values are escaped and never empty, so that no path can
//! lead elsewhere than it reads.

use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, UnsentCause};

/// What RFC 3986 leaves unescaped.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Escapes one value; a space becomes `%20`, for Proxmox knows no `+`.
pub(crate) fn escape(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// A call before it is sent. Its `Display` shows method and path, never parameters.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) template: &'static str,
    pub(crate) path: String,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) body: Option<(String, Bytes)>,
}

impl Call {
    /// `Call::new(GET, "/nodes/{node}/tasks", &[node.as_str()])`: one value for each brace, in order.
    pub(crate) fn new(method: Method, template: &'static str, values: &[&str]) -> Result<Self, Error> {
        let mut values = values.iter();
        let mut path = String::new();
        for part in template.split('/').skip(1) {
            path.push('/');
            let Some(name) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
                path.push_str(part);
                continue;
            };
            let value = values.next().copied().unwrap_or("");
            // A volume's name may have several segments, each of which must be one.
            let segments: Vec<&str> = value.split('/').collect();
            if segments.iter().any(|s| matches!(*s, "" | "." | "..")) {
                return Err(Error::unsent(
                    format!("{method} {template}"),
                    UnsentCause::BadSegment { template, name: name.to_owned(), value: value.to_owned() },
                ));
            }
            let escaped: Vec<String> = segments.into_iter().map(escape).collect();
            path.push_str(&escaped.join("/"));
        }
        Ok(Self { method, template, path, params: Vec::new(), body: None })
    }

    pub(crate) fn get(template: &'static str, values: &[&str]) -> Result<Self, Error> {
        Self::new(Method::GET, template, values)
    }

    pub(crate) fn post(template: &'static str, values: &[&str]) -> Result<Self, Error> {
        Self::new(Method::POST, template, values)
    }

    pub(crate) fn put(template: &'static str, values: &[&str]) -> Result<Self, Error> {
        Self::new(Method::PUT, template, values)
    }

    pub(crate) fn delete(template: &'static str, values: &[&str]) -> Result<Self, Error> {
        Self::new(Method::DELETE, template, values)
    }

    /// Adds a parameter. An empty value is an error: Proxmox would take it as not given.
    pub(crate) fn with(mut self, key: &str, value: impl std::fmt::Display) -> Result<Self, Error> {
        let value = value.to_string();
        if value.is_empty() {
            return Err(Error::unsent(self.to_string(), UnsentCause::EmptyValue { key: key.to_owned() }));
        }
        self.params.push((key.to_owned(), value));
        Ok(self)
    }

    /// Adds a parameter if there is one.
    pub(crate) fn maybe(self, key: &str, value: Option<impl std::fmt::Display>) -> Result<Self, Error> {
        match value {
            Some(value) => self.with(key, value),
            None => Ok(self),
        }
    }

    /// The parameters as a form or query.
    pub(crate) fn form(&self) -> String {
        let pairs: Vec<String> =
            self.params.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value))).collect();
        pairs.join("&")
    }

    /// What metrics count: method and template.
    pub(crate) fn counted(&self) -> String {
        format!("{} {}", self.method, self.template)
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}
