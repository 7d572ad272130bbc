//! A Kubernetes API in a closure, for tests that count calls.
//!
//! * What it is: a client whose every call is kept and answered by a function of the call.
//! * What it promises: no network; a call answered with [`Answer::Never`] hangs as a lost one does.
//! * What it assumes: bodies are JSON or empty.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};

/// A call as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) body: Value,
}

/// What the call gets.
pub(crate) enum Answer {
    Json(u16, Value),
    Never,
}

/// A refusal in the API server's form.
pub(crate) fn refusal(code: u16, reason: &str, message: &str) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message});
    Answer::Json(code, status)
}

/// The calls made so far.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    pub(crate) fn all(&self) -> Vec<Call> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn writes(&self) -> Vec<Call> {
        self.all().into_iter().filter(|call| call.method != Method::GET).collect()
    }
}

/// A client of an API that answers with `answer`.
pub(crate) fn client(answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> (Client, Calls) {
    let calls = Calls::default();
    let kept = calls.clone();
    let answer = Arc::new(answer);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (kept, answer) = (kept.clone(), Arc::clone(&answer));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let call = Call {
                method: parts.method,
                target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            };
            kept.0.lock().unwrap().push(call.clone());
            match answer(&call) {
                Answer::Json(code, value) => {
                    let body = Body::from(serde_json::to_vec(&value).unwrap());
                    Ok::<_, kube::Error>(Response::builder().status(code).body(body).unwrap())
                }
                Answer::Never => std::future::pending().await,
            }
        }
    });
    (Client::new(service, "default"), calls)
}

/// The store of one Lease, which refuses stale writes as the API server does.
#[derive(Clone, Default)]
pub(crate) struct OneLease(Arc<Mutex<Option<Value>>>);

impl OneLease {
    pub(crate) fn answer(&self, call: &Call) -> Answer {
        let mut stored = self.0.lock().unwrap();
        let version = |value: &Value| {
            value["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse::<u64>().ok()).unwrap_or(0)
        };
        let at = stored.as_ref().map_or(0, &version);
        match (call.method.as_str(), stored.is_some()) {
            ("GET", true) => Answer::Json(200, stored.clone().unwrap()),
            ("POST", true) => refusal(409, "AlreadyExists", "leases.coordination.k8s.io \"l\" already exists"),
            ("PUT", true) if version(&call.body) != at => refusal(409, "Conflict", "the object has been modified"),
            ("POST", false) | ("PUT", true) => {
                let mut new = call.body.clone();
                new["metadata"]["resourceVersion"] = json!((at + 1).to_string());
                *stored = Some(new.clone());
                Answer::Json(200, new)
            }
            (_, _) => refusal(404, "NotFound", "leases.coordination.k8s.io \"l\" not found"),
        }
    }

    pub(crate) fn edit(&self, change: impl FnOnce(&mut Option<Value>)) {
        change(&mut self.0.lock().unwrap());
    }

    pub(crate) fn spec(&self) -> Value {
        self.0.lock().unwrap().as_ref().map_or(Value::Null, |lease| lease["spec"].clone())
    }
}
