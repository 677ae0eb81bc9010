//! The built-in handlers.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`noop`] | nothing, slowly or wrongly if asked: for trying things out |

pub mod noop;
