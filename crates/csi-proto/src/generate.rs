//! Writes `src/generated` from `proto/`; with `--check` it only says whether that would change anything.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

type Error = Box<dyn std::error::Error>;

const FILES: [&str; 2] = ["csi.proto", "pluginregistration.proto"];
const MADE: [&str; 2] = ["csi.v1.rs", "pluginregistration.rs"];

fn main() -> Result<ExitCode, Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let check = env::args().any(|arg| arg == "--check");
    let made = env::temp_dir().join(format!("oxmox-csi-proto-{}", std::process::id()));
    fs::create_dir_all(&made)?;
    let result = generate(root, &made, check);
    fs::remove_dir_all(&made)?;
    result
}

fn generate(root: &Path, made: &Path, check: bool) -> Result<ExitCode, Error> {
    let descriptors = protox::compile(FILES, [root.join("proto")])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .out_dir(made)
        .compile_fds(descriptors)?;
    let mut stale = false;
    for name in MADE {
        let text = fs::read_to_string(made.join(name))?;
        let path = root.join("src/generated").join(name);
        if fs::read_to_string(&path).unwrap_or_default() == text {
            continue;
        }
        if check {
            eprintln!("{} is not what proto/ says", path.display());
            stale = true;
        } else {
            fs::write(&path, text)?;
            eprintln!("wrote {}", path.display());
        }
    }
    Ok(if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
