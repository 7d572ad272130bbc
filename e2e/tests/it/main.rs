//! Stories on the real parts.

mod life;
