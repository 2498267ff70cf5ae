//! What can be told about traffic, and about what rules do to it.
//!
//! Two ways lead here. What the engine tells its observers becomes flows
//! ([`flows`]), messages ([`sessions`]) and bytes ([`follow`]), exactly as
//! rules would meet them; `explain` tells what rules did. Who has packets and
//! no engine tracks flows of any key with [`FlowTracker`].
//! Not here: who prints it (`cli`), how the engine follows flows (`engine`,
//! `proto`), files (`capture`).

#[cfg(feature = "ftp")]
mod announced;
#[cfg(not(feature = "ftp"))]
#[path = "unannounced.rs"]
mod announced;
mod application;
mod arrivals;
pub mod driver;
mod endpoint;
pub mod explain;
pub mod extract;
pub mod flows;
pub mod follow;
mod history;
mod opener;
pub mod reassemble;
pub mod sessions;
pub mod tracker;
pub mod witness;

pub use application::NAMES as APPLICATIONS;
pub use driver::{DatagramDriver, FlowDriver, SessionDriver, SessionEvent};
pub use endpoint::Endpoint;
pub use extract::{FlowExtractor, PacketView};
pub use flows::{Collector, Flow, Side, Stream, StreamState};
pub use tracker::{FlowEvent, FlowTracker};
pub use witness::Witness;
