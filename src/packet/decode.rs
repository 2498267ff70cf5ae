//! Where the headers of a frame are.
