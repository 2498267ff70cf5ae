//! The alert record.
