//! Reports for people and programs: each renderer is a function of the report alone.

mod html;
mod json;
mod junit;
mod terminal;

pub use html::html;
pub use json::json;
pub use junit::junit;
pub use terminal::{Colour, terminal};
