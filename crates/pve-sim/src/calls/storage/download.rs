//! Files that a node would fetch: from URLs, from the appliance index, from registries.
//!
//! Promises to fetch nothing: what is outside is said by [`crate::state::fixtures`].

use serde_json::{Value, json};

use super::upload::{file, file_name, normalised};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::{
    Job,
    volume::{Fetch, Pull},
};
use crate::state::World;
use crate::state::fixtures::Download;

/// What a client library says of a server that can't be reached.
fn no_connection(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let port = if scheme == "https" { ":443" } else { ":80" };
    let port = if host.contains(':') { "" } else { port };
    format!("invalid server response: '500 Can't connect to {host}{port} (Name or service not known)'")
}

fn length(download: &Download) -> u64 {
    download.text.as_ref().map_or(download.size, |t| t.len() as u64)
}

pub(crate) fn metadata(world: &mut World, call: &Call<'_>) -> Outcome {
    let url = call.str("url");
    let Some(found) = world.fixtures.downloads.get(url) else { return Err(Fail::die(no_connection(url)).into()) };
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let name = found.filename.as_deref().or_else(|| path.rsplit('/').next()).unwrap_or_default();
    let mut row = json!({"size": length(found), "filename": normalised(name)});
    if let Some(mimetype) = &found.mimetype {
        row["mimetype"] = json!(mimetype);
    }
    now(row)
}

pub(crate) fn url(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, id, content) = (call.node(), call.str("storage"), call.str("content"));
    let storage = world.storage_on(id, node)?;
    if !storage.kind().files() {
        let text = format!("can't upload to storage type '{}', not a file based storage!", storage.kind);
        return Err(Fail::die(text).into());
    }
    if !storage.content.contains(content) {
        return Err(Fail::die(format!("storage '{id}' is not configured for content-type '{content}'")).into());
    }
    let (name, format) = file_name(content, call.str("filename"))?;
    let storage = world.activate(id, node)?;
    let fetch = Fetch {
        volume: file(world, storage, node, content, &name, &format),
        node: node.to_owned(),
        url: call.str("url").to_owned(),
        algorithm: call.get("checksum-algorithm").map(str::to_owned),
        checksum: call.get("checksum").map(str::to_owned),
        compression: call.get("compression").map(str::to_owned),
    };
    let after = world.pace.of("upload");
    now(json!(world.spawn(node, "download", &name, call.who, Job::Fetch(fetch), after)))
}

/// The index of appliances.
pub(crate) fn appliances(world: &mut World, _: &Call<'_>) -> Outcome {
    now(json!(world.fixtures.appliances))
}

pub(crate) fn appliance(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, id, template) = (call.node(), call.str("storage"), call.str("template"));
    let is_it = |a: &&crate::state::fixtures::Appliance| a.get("template").is_some_and(|t| t == template);
    let Some(found) = world.fixtures.appliances.iter().find(is_it).cloned() else {
        return Err(Fail::param("template", "no such template").into());
    };
    let storage = world.activate(id, node)?;
    if !storage.content.contains("vztmpl") {
        return Err(Fail::die(format!("storage '{id}' does not support templates")).into());
    }
    let ending = template.rsplit('.').next().unwrap_or("gz");
    let sum = found.get("sha512sum").cloned();
    let fetch = Fetch {
        volume: file(world, storage, node, "vztmpl", template, &format!("t{ending}")),
        node: node.to_owned(),
        url: found.get("location").cloned().unwrap_or_default(),
        algorithm: sum.as_ref().map(|_| "sha512".to_owned()),
        checksum: sum,
        compression: None,
    };
    let after = world.pace.of("upload");
    now(json!(world.spawn(node, "download", template, call.who, Job::Fetch(fetch), after)))
}

pub(crate) fn tags(world: &mut World, call: &Call<'_>) -> Outcome {
    let image = call.str("reference");
    if let Some(tags) = world.fixtures.images.get(image) {
        return now(json!(tags));
    }
    Err(Fail::die(format!("Error listing repository tags: fetching tags list: {image}: no such host")).into())
}

pub(crate) fn image(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, id, reference) = (call.node(), call.str("storage"), call.str("reference"));
    let storage = world.storage_on(id, node)?;
    if !storage.kind().files() {
        let text = format!("can't upload to storage type '{}', not a file based storage!", storage.kind);
        return Err(Fail::die(text).into());
    }
    if !storage.content.contains("vztmpl") {
        return Err(Fail::die(format!("storage '{id}' is not configured for content-type 'vztmpl'")).into());
    }
    let name = format!("{}.tar", normalised(call.get("filename").unwrap_or(reference)));
    let storage = world.activate(id, node)?;
    let volume = file(world, storage, node, "vztmpl", &name, "tar");
    if world.volumes.find(&volume.volid(), node).is_some() {
        return Err(Fail::die(format!("refusing to override existing file '{name}'")).into());
    }
    let job = Job::Pull(Pull { volume, reference: reference.to_owned() });
    let after = world.pace.of("upload");
    now(json!(world.spawn(node, "ociregistrypull", &name, call.who, job, after)))
}

/// What is known of a foreign guest before it is imported.
pub(crate) fn import(world: &mut World, call: &Call<'_>) -> Outcome {
    let volid = format!("{}:{}", call.str("storage"), call.str("volume"));
    super::access::check(world, call.who, &volid)?;
    let read = super::access::read(world, &volid)?;
    if read.content != "import" {
        return Err(Fail::die(format!("invalid content type '{}'", read.content)).into());
    }
    let esxi = world.storage(call.str("storage"))?.kind == "esxi";
    if !esxi && !["ova", "ovf"].contains(&read.format) {
        return Err(Fail::die("invalid format").into());
    }
    if let Some(told) = world.fixtures.imports.get(&volid) {
        return now(told.clone());
    }
    if world.volumes.find(&volid, call.node()).is_none() {
        return Err(Fail::die(format!("volume '{volid}' does not exist")).into());
    }
    let name = read.file.rsplit_once('.').map_or(read.file, |(stem, _)| stem);
    now(json!({
        "type": "vm", "source": if esxi { "esxi" } else { "ova" }, "create-args": {"name": name, "memory": 512, "cores": 1},
        "disks": {}, "net": {}, "warnings": Value::Array(Vec::new()),
    }))
}
