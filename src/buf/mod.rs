//! Editable bytes.
