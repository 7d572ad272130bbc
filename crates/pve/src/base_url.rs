//! Where a Proxmox API is: scheme, host, port and, behind a gateway, a path prefix.
//!
//! Accepts what people paste: with or without `/api2/json`, with or without a trailing slash, with or
//! without `https://`. Whatever it refuses, it names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// The base of an API's URLs, ending before `/api2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl(Url);

/// A text that is no base URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not the URL of a Proxmox API: {why}")]
pub struct BadUrl {
    /// The text as it was given; passwords left out.
    pub given: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl BaseUrl {
    /// The URL of an API path (`/version`) with its query.
    pub(crate) fn join(&self, path: &str, query: &str) -> Url {
        let mut url = self.0.clone();
        let prefix = self.0.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}/api2/json{path}"));
        url.set_query((!query.is_empty()).then_some(query));
        url
    }

    /// Whether the URL leaves the port to the scheme's default, where Proxmox does not listen.
    pub fn names_no_port(&self) -> bool {
        self.0.port().is_none()
    }
}

impl FromStr for BaseUrl {
    type Err = BadUrl;

    fn from_str(given: &str) -> Result<Self, BadUrl> {
        let bad = |why| BadUrl { given: given.to_owned(), why };
        let text = given.trim();
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        // The URL parser takes `https:///x` for host `x`; we rather say that the host is missing.
        let rest = full.split_once("://").map_or("", |(_, rest)| rest);
        if rest.is_empty() || rest.starts_with(['/', ':', '?', '#']) {
            return Err(bad("it names no host"));
        }
        let mut url = Url::parse(&full).map_err(|_| bad("it does not parse"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadUrl {
                given: format!("{}://…@{}", url.scheme(), url.host_str().unwrap_or("")),
                why: "it holds credentials; give them apart",
            });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it has a query or a fragment"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err(bad("Proxmox speaks https, and secrets need it")),
            _ => return Err(bad("its scheme is not https")),
        }
        let path = url.path().trim_end_matches('/');
        let path = path
            .strip_suffix("/api2/json")
            .or_else(|| path.strip_suffix("/api2"))
            .unwrap_or(path)
            .trim_end_matches('/')
            .to_owned();
        if path.contains("//") {
            return Err(bad("its path has an empty segment"));
        }
        url.set_path(&path);
        Ok(Self(url))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("");
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}
