//! The seed as others read it: a reader of our own, isoinfo, and Debian's cloud-init.

mod cloud_init;
mod fixture;
mod golden;
mod image;
mod judged;
mod quoting;
mod reader;
mod room;
