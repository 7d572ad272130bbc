//! Stories on the real parts.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod life;
