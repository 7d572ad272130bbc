//! Storages and what lies on them: `/storage`, `/nodes/{node}/storage`.

pub(crate) mod content;
pub(crate) mod storages;

use super::{Handler, names, now};

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "/nodes/{node}/storage") => storages::list,
        ("GET", "/nodes/{node}/storage/{storage}") => |_, _| {
            now(names(
                "subdir",
                &[
                    "content",
                    "download-url",
                    "file-restore",
                    "import-metadata",
                    "prunebackups",
                    "rrd",
                    "rrddata",
                    "status",
                    "upload",
                ],
            ))
        },
        ("GET", "/nodes/{node}/storage/{storage}/status") => storages::status,
        ("GET", "/nodes/{node}/storage/{storage}/content") => content::list,
        ("POST", "/nodes/{node}/storage/{storage}/content") => content::allocate,
        ("GET", "/nodes/{node}/storage/{storage}/content/{volume}") => content::get,
        ("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}") => content::delete,
        ("POST", "/nodes/{node}/storage/{storage}/upload") => content::upload,
        ("GET", "/storage") => storages::configs,
        ("GET", "/storage/{storage}") => storages::config,
        _ => return None,
    })
}
