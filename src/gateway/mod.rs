//! The firewall around the engine: which packets reach a queue, and how
//! everything is put back.
//!
//! A [`Plan`] says what is wanted; renderers turn it into rules for nft or
//! iptables; [`apply`] loads them, [`clean`] takes them back, also those of a
//! run that was killed. [`selftest`] sends a packet through a queue before
//! any traffic is led there. Rules stand in chains of our own, and what was before
//! is written into their comments. Not here: reading queues and sending
//! packets (`capture`), the loop of a worker (`worker`).

mod change;
pub mod doctor;
mod iptables;
mod marks;
pub mod namespace;
mod nft;
mod note;
mod plan;
mod present;
mod saved;
pub mod selftest;
mod settings;
mod spread;
mod tools;

pub use change::{
    Applied, ChangeError, Step, Steps, apply, apply_steps, apply_tested, clean, clean_steps,
    diverts,
};
pub use marks::{Marks, MarksError};
pub use plan::{
    Action, Family, Interface, InterfaceError, Mode, Plan, Queues, QueuesError, Spread, Stance,
};
pub use present::Present;
pub use spread::queue_of;
pub use tools::Backend;

/// Leaves nothing of a plan but a rule that drops what it would have queued:
/// what `on_stop = closed` asks for. [`clean`] removes it.
pub fn close(plan: &Plan, only: Option<Backend>) -> Result<Applied, ChangeError> {
    let plan = Plan {
        action: Action::Drop,
        ..plan.clone()
    };
    apply(&plan, only)
}
