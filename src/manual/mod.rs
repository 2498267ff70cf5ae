//! What people and editors read about the API of rules, as text: the
//! reference pages and stubs for language servers.
//!
//! Both come from the tables that the engine runs on (`proto::api`,
//! `proto::PROTOCOLS`, `event::EVENTS`); what cannot be a row stands in
//! `pages/`, one file a page. Not here: writing files (`cli`).

mod pages;
mod reference;
mod stubs;
mod types;

pub use pages::{PAGES, Page};
pub use reference::reference;
pub use stubs::stubs;

/// A file of the manual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Below the folder that is asked for.
    pub path: String,
    pub text: String,
}
