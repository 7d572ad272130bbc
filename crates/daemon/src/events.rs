//! Events about objects, for `kubectl describe`.
//!
//! * What it is: a recorder of `events.k8s.io/v1` events.
//! * What it promises: the same words about the same object are written at most once in ten minutes;
//!   a failure to write is logged and is never the caller's problem.
//! * What it assumes: permission to create events in the object's namespace (`default` for an object
//!   without one). kube's own recorder is not used: it keeps the first note of a reason and writes
//!   on every repetition.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;
use tracing::warn;

use crate::chain;

/// Long enough that a waiting object does not fill `kubectl describe`, short enough that who looks
/// sees that it still waits. The API server keeps events for an hour.
const REPEAT_AFTER: Duration = Duration::from_mins(10);

/// The API server refuses longer notes and reporting instances.
const NOTE_LIMIT: usize = 1024;
const INSTANCE_LIMIT: usize = 128;

/// What makes two events the same: the object, the reason, the note.
type Said = (String, String, String);

/// Whether an event tells of progress or of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Progress.
    Normal,
    /// Trouble.
    Warning,
}

/// Writes events; clones share what was written.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    controller: String,
    instance: String,
    said: Arc<Mutex<HashMap<Said, Instant>>>,
}

impl Recorder {
    /// Events reported by `controller` (`oxmox.io/machine`), from this `instance` (the pod).
    pub fn new(client: Client, controller: impl Into<String>, instance: impl Into<String>) -> Self {
        let instance = shorten(&instance.into(), INSTANCE_LIMIT);
        Self { client, controller: controller.into(), instance, said: Arc::default() }
    }

    /// Says `note` about `regarding` under `reason` (CamelCase), while doing `action` (CamelCase).
    pub async fn publish(&self, regarding: &ObjectReference, kind: Kind, reason: &str, action: &str, note: &str) {
        let object = regarding.uid.clone().or_else(|| regarding.name.clone()).unwrap_or_default();
        let said = (object, reason.to_owned(), note.to_owned());
        if !self.is_news(&said) {
            return;
        }
        let event = self.event(regarding, kind, reason, action, note, wall_clock());
        let namespace = regarding.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        if let Err(why) = api.create(&PostParams::default(), &event).await {
            warn!(reason, note, why = chain(&why), "event not written");
            self.lock().remove(&said);
        }
    }

    /// Whether it was not said lately; from now on it was. Forgets what is old, so that the memory
    /// holds ten minutes and no more.
    fn is_news(&self, said: &Said) -> bool {
        let mut all = self.lock();
        all.retain(|_, at| at.elapsed() < REPEAT_AFTER);
        if all.contains_key(said) {
            return false;
        }
        all.insert(said.clone(), Instant::now());
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Said, Instant>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(
        &self,
        regarding: &ObjectReference,
        kind: Kind,
        reason: &str,
        action: &str,
        note: &str,
        now: Timestamp,
    ) -> Event {
        let name = regarding.name.as_deref().unwrap_or("unnamed");
        // Two events in the same nanosecond differ in their words.
        let mut words = DefaultHasher::new();
        (reason, note, now.as_nanosecond()).hash(&mut words);
        Event {
            action: Some(action.to_owned()),
            event_time: Some(MicroTime(now)),
            metadata: ObjectMeta {
                // With the 17 letters behind it, at most the 253 that a name may have.
                name: Some(format!("{}.{:016x}", shorten(name, 236), words.finish())),
                namespace: Some(regarding.namespace.clone().unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            note: Some(shorten(note, NOTE_LIMIT)),
            reason: Some(reason.to_owned()),
            regarding: Some(regarding.clone()),
            reporting_controller: Some(self.controller.clone()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(
                match kind {
                    Kind::Normal => "Normal",
                    Kind::Warning => "Warning",
                }
                .to_owned(),
            ),
            ..Event::default()
        }
    }
}

/// At most `limit` bytes, cut between letters.
fn shorten(text: &str, limit: usize) -> String {
    text[..text.floor_char_boundary(limit)].to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the edge where the time of an event is taken")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod test {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::json;

    use super::*;
    use crate::fake_api::{Answer, client, refusal};

    fn machine(name: &str) -> ObjectReference {
        ObjectReference {
            kind: Some("ProxmoxMachine".to_owned()),
            namespace: Some("dev".to_owned()),
            name: Some(name.to_owned()),
            uid: Some(format!("uid-of-{name}")),
            ..ObjectReference::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_words_about_the_same_object_are_written_once_in_ten_minutes() {
        let (client, calls) = client(|call| Answer::Json(201, call.body.clone()));
        let events = Recorder::new(client, "oxmox.io/machine", "pod-1");
        for _ in 0..3 {
            events.publish(&machine("a"), Kind::Normal, "Cloning", "Clone", "clone task runs").await;
        }
        assert_eq!(calls.writes().len(), 1);
        events.publish(&machine("a"), Kind::Normal, "Cloning", "Clone", "clone task ended").await;
        events.publish(&machine("b"), Kind::Normal, "Cloning", "Clone", "clone task runs").await;
        assert_eq!(calls.writes().len(), 3, "other words, and another object, are news");
        tokio::time::advance(REPEAT_AFTER).await;
        events.publish(&machine("a"), Kind::Normal, "Cloning", "Clone", "clone task runs").await;
        assert_eq!(calls.writes().len(), 4);
        assert_eq!(events.lock().len(), 1, "what is old is forgotten");
    }

    #[tokio::test]
    async fn an_event_says_what_the_api_server_asks_for() {
        let (client, calls) = client(|call| Answer::Json(201, call.body.clone()));
        let events = Recorder::new(client, "oxmox.io/machine", "p".repeat(200));
        events.publish(&machine("a"), Kind::Warning, "NoTemplate", "Clone", &"ä".repeat(900)).await;
        let [call] = calls.all().try_into().unwrap();
        assert!(call.target.starts_with("/apis/events.k8s.io/v1/namespaces/dev/events"), "{}", call.target);
        let body = call.body;
        assert_eq!(body["type"], "Warning");
        assert_eq!(body["regarding"]["uid"], "uid-of-a");
        assert_eq!(body["reportingController"], "oxmox.io/machine");
        assert!(body["metadata"]["name"].as_str().unwrap().starts_with("a."));
        assert!(body["eventTime"].is_string());
        assert_eq!(body["note"].as_str().unwrap().len(), 1024);
        assert_eq!(body["reportingInstance"].as_str().unwrap().len(), 128);
    }

    #[tokio::test]
    async fn an_event_that_was_not_written_is_tried_when_it_is_said_again() {
        let refused = AtomicBool::new(false);
        let (client, calls) = client(move |_| {
            if refused.swap(true, Ordering::SeqCst) {
                Answer::Json(201, json!({"metadata": {}, "eventTime": null}))
            } else {
                refusal(403, "Forbidden", "events is forbidden")
            }
        });
        let events = Recorder::new(client, "oxmox.io/machine", "pod-1");
        for _ in 0..3 {
            events.publish(&machine("a"), Kind::Normal, "Cloning", "Clone", "clone task runs").await;
        }
        assert_eq!(calls.writes().len(), 2);
    }
}
