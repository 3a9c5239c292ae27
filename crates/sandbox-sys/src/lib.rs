//! The few system calls of a sandbox that no crate offers safely: `fork`, signals as a new program expects them,
//! descriptors that no program inherits, and seccomp(2) with user notification.
//!
//! All that is unsafe is in one file, `call.rs`, and each of its functions is safe to call: what the kernel demands of
//! a caller is checked, or follows from the types.
//!
//! # A filter, step by step
//!
//! A seccomp filter is a small program that the kernel runs at each system call of a process and of all its
//! descendants. It sees the call's number, its architecture and its arguments as numbers (never what a pointer points
//! to), and it ends with a verdict: allow the call, let it fail with an error, or ask. "Ask" is the user notification:
//! the caller sleeps, another process reads what was asked from a descriptor (the listener), and answers it.
//!
//! ```
//! use sandbox_sys::{Instruction, Verdict};
//!
//! // Load the number of the call; if it is 165 (mount on x86_64), it fails with EPERM (1); all others are allowed.
//! let filter = [
//!     Instruction::load(Instruction::NUMBER),
//!     Instruction::jump_if_equal(165, 0, 1),
//!     Instruction::verdict(Verdict::Fail(1)),
//!     Instruction::verdict(Verdict::Allow),
//! ];
//! assert_eq!(filter.len(), 4);
//! ```

mod call;
mod filter;

pub use call::{
    Forked, Notification, answer, close_all_on_exec, fork, install, install_with_listener, is_waiting, receive,
    reset_signals,
};
pub use filter::{Instruction, Verdict};
