//! Alerts and events outward.
