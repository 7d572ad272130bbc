//! Storages and what lies on them: `/storage`, `/nodes/{node}/storage`, and what nodes look for and fetch.

pub(crate) mod access;
pub(crate) mod config;
pub(crate) mod content;
pub(crate) mod download;
pub(crate) mod restore;
pub(crate) mod scan;
pub(crate) mod status;
pub(crate) mod upload;

use super::Handler;

/// Whether a path belongs here.
pub(super) fn is_of(path: &str) -> bool {
    let rest = path.strip_prefix("/nodes/{node}").unwrap_or(path);
    ["/storage", "/scan", "/aplinfo", "/query-url-metadata", "/query-oci-repo-tags"].iter().any(|f| rest.starts_with(f))
}

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    if let Some(rest) = path.strip_prefix("/nodes/{node}/storage/{storage}") {
        return on_node(verb, rest);
    }
    Some(match (verb, path) {
        ("GET", "/storage") => config::list,
        ("POST", "/storage") => config::create,
        ("GET", "/storage/{storage}") => config::get,
        ("PUT", "/storage/{storage}") => config::update,
        ("DELETE", "/storage/{storage}") => config::delete,
        ("GET", "/nodes/{node}/storage") => status::list,
        ("GET", "/nodes/{node}/aplinfo") => download::appliances,
        ("POST", "/nodes/{node}/aplinfo") => download::appliance,
        ("GET", "/nodes/{node}/query-url-metadata") => download::metadata,
        ("GET", "/nodes/{node}/query-oci-repo-tags") => download::tags,
        ("GET", "/nodes/{node}/scan") => scan::index,
        ("GET", "/nodes/{node}/scan/cifs") => scan::cifs,
        ("GET", "/nodes/{node}/scan/iscsi") => scan::iscsi,
        ("GET", "/nodes/{node}/scan/lvm") => scan::lvm,
        ("GET", "/nodes/{node}/scan/lvmthin") => scan::lvmthin,
        ("GET", "/nodes/{node}/scan/nfs") => scan::nfs,
        ("GET", "/nodes/{node}/scan/pbs") => scan::pbs,
        ("GET", "/nodes/{node}/scan/zfs") => scan::zfs,
        _ => return None,
    })
}

/// Methods below a storage of a node.
fn on_node(verb: &str, rest: &str) -> Option<Handler> {
    Some(match (verb, rest) {
        ("GET", "") => status::index,
        ("GET", "/status") => status::status,
        ("GET", "/rrd") => status::picture,
        ("GET", "/rrddata") => status::statistics,
        ("GET", "/content") => content::list,
        ("POST", "/content") => content::allocate,
        ("GET", "/content/{volume}") => content::get,
        ("PUT", "/content/{volume}") => content::update,
        ("POST", "/content/{volume}") => content::copy,
        ("DELETE", "/content/{volume}") => content::delete,
        ("POST", "/upload") => upload::upload,
        ("POST", "/download-url") => download::url,
        ("POST", "/oci-registry-pull") => download::image,
        ("GET", "/import-metadata") => download::import,
        ("GET", "/file-restore/list") => restore::list,
        _ => return None,
    })
}
