//! The rules, each a pure function or state machine. None of them sees the wire.

pub mod answer;
pub mod balance;
pub mod classify;
pub mod deadline;
pub mod forward;
pub mod load;
pub mod retry;
pub mod route;
