//! The seed as others read it: a reader of our own, isoinfo, cloud-init and netplan.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "all of this is test code: a failure shall stop the test where it happens"
)]

mod cloud_init;
mod fixture;
mod golden;
mod image;
mod judged;
mod netplan;
mod packages;
mod quoting;
mod reader;
mod room;
