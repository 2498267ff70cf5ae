//! offset_map
