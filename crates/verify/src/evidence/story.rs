//! What a story of `oxmox demo` did: one that makes, breaks and removes a whole cluster, which no verification may do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The scenes that were played, by their names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StorySeen {
    /// The scenes.
    pub scenes: BTreeMap<String, SceneSeen>,
}

/// A scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SceneSeen {
    /// What it is about.
    pub title: String,
    /// How it ended.
    pub outcome: SceneOutcome,
    /// How long it took.
    pub seconds: f64,
    /// How long it may take.
    pub limit_seconds: f64,
    /// What was said last: of a failed one, why.
    pub last: String,
}

/// How a scene ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SceneOutcome {
    /// All of it was seen to happen.
    Done,
    /// Something was not.
    Failed,
}

/// The record, as `oxmox demo` writes it: `{"scenes": [{"id": …}]}`.
#[derive(Deserialize)]
struct Record {
    scenes: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(flatten)]
    scene: SceneSeen,
}

impl StorySeen {
    /// Reads the record of a demo (`story.json`).
    pub fn from_record(text: &str) -> Result<Self, serde_json::Error> {
        let record: Record = serde_json::from_str(text)?;
        Ok(Self { scenes: record.scenes.into_iter().map(|named| (named.id, named.scene)).collect() })
    }
}
