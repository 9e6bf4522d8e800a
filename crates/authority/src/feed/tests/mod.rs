//! Streams over real sockets, with a real store in a folder of its own and clocks that are moved by hand.

mod content;
mod end;
mod flow;
mod frames;
mod refusal;
mod retention;
mod robust;
mod rollback;
mod succession;
mod usage;
mod verification;
mod warm;
mod world;
