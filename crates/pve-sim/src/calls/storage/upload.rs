//! Files that come in: the names that they may have, and uploads.

use serde_json::json;

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::{Job, volume::Upload};
use crate::state::World;
use crate::state::storage::name::{TEMPLATES, ends_with_any};
use crate::state::storage::{Storage, Volume};

/// A file name as the server keeps it: without a path, odd bytes replaced.
pub(crate) fn normalised(name: &str) -> String {
    let name = name.trim_end_matches('\n').rsplit(['/', '\\']).next().unwrap_or_default();
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' }).collect()
}

/// The name under which a file of this content is kept, and its format.
pub(crate) fn file_name(content: &str, name: &str) -> Result<(String, String), Fail> {
    let name = normalised(name);
    let (endings, wrong): (&[&str], _) = match content {
        "iso" => (&[".iso", ".img"], "wrong file extension"),
        "vztmpl" => (&TEMPLATES, "wrong file extension"),
        _ => (&[".ova", ".qcow2", ".raw", ".vmdk"], "invalid filename or wrong extension"),
    };
    let Some(ending) = ends_with_any(&name, endings) else { return Err(Fail::param("filename", wrong)) };
    let format = match content {
        "iso" => "iso".to_owned(),
        "vztmpl" => format!("t{}", ending.rsplit('.').next().unwrap_or("gz")),
        _ => ending[1..].to_owned(),
    };
    Ok((name, format))
}

/// A file as a volume.
pub(crate) fn file(world: &World, storage: &Storage, node: &str, content: &str, name: &str, format: &str) -> Volume {
    Volume {
        storage: storage.id.clone(),
        node: (!storage.shared).then(|| node.to_owned()),
        name: format!("{content}/{name}"),
        content: content.to_owned(),
        format: format.to_owned(),
        ctime: world.seconds(),
        ..Volume::default()
    }
}

pub(crate) fn upload(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, id, content) = (call.node(), call.str("storage"), call.str("content"));
    let storage = world.storage_on(id, node)?;
    if !storage.kind().files() {
        return Err(Fail::die(format!("can't upload to storage type '{}'", storage.kind)).into());
    }
    let Some(bytes) = call.file.clone() else {
        return Err(Fail::die("missing temporary file name").into());
    };
    let (name, format) = file_name(content, call.str("filename"))?;
    if !storage.content.contains(content) {
        return Err(Fail::die(format!("storage '{id}' does not support '{content}' content")).into());
    }
    let storage = world.activate(id, node)?;
    let volume = Volume { size: bytes.len() as u64, ..file(world, storage, node, content, &name, &format) };
    let upload = Upload {
        volume,
        node: node.to_owned(),
        algorithm: call.get("checksum-algorithm").map(str::to_owned),
        checksum: call.get("checksum").map(str::to_owned),
        bytes,
    };
    // The task belongs to the node that was called, not to the one that gets the file.
    let here = world.nodes.first().map_or_else(|| node.to_owned(), |n| n.name.clone());
    let after = world.pace.of("upload");
    now(json!(world.spawn(&here, "imgcopy", "", call.who, Job::Upload(upload), after)))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_file_is_kept_without_its_path_and_without_odd_letters() {
        assert_eq!(normalised("C:\\isos\\my file (1).iso"), "my_file__1_.iso");
        assert_eq!(normalised("/tmp/a.iso"), "a.iso");
        assert_eq!(normalised("für.iso"), "f_r.iso");
    }

    #[test]
    fn endings_decide_what_may_come_in() {
        assert_eq!(file_name("iso", "Debian.ISO").unwrap().1, "iso");
        assert_eq!(file_name("vztmpl", "debian.tar.zst").unwrap().1, "tzst");
        assert_eq!(file_name("import", "disk.qcow2").unwrap().1, "qcow2");
        let wrong = |content, name| file_name(content, name).unwrap_err().errors["filename"].clone();
        assert_eq!(wrong("iso", ".iso"), "wrong file extension");
        assert_eq!(wrong("import", "disk.vdi"), "invalid filename or wrong extension");
    }
}
