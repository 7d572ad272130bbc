//! xtask as people run it.

mod lab;
