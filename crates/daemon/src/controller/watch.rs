//! Watching what is not the controller's own kind.
//!
//! * What it is: a stream of the objects that appeared, changed or went.
//! * What it promises: it never ends and never fails: an error is logged and the watch tried again
//!   with its own backoff, so that a kind whose CRD is not installed stops nobody else (kube's own
//!   `watches` would slow down the whole controller).
//! * What it assumes: a log line per failed try is welcome; the backoff goes up to half a minute.

use std::fmt::Debug;

use futures::{Stream, StreamExt as _, future};
use kube::{
    Api, Resource,
    core::DeserializeGuard,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::chain;

pub(super) fn changes<Other>(
    api: Api<DeserializeGuard<Other>>,
    watch: watcher::Config,
) -> impl Stream<Item = DeserializeGuard<Other>> + Send
where
    Other: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    // The backoff comes last: before `touched_objects` it would see the start of each new list as a
    // success, and never grow while lists fail.
    watcher(api, watch).touched_objects().default_backoff().filter_map(|seen| {
        future::ready(match seen {
            Ok(object) => Some(object),
            Err(why) => {
                warn!(kind = %Other::kind(&()), why = chain(&why), "cannot watch, trying again");
                None
            }
        })
    })
}
