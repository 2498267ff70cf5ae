//! Whole conversations through both sides, and the property that cutting
//! changes nothing.

use super::head::Limits;

pub const LIMITS: Limits = Limits {
    line: 1024,
    head: 8192,
    headers: 32,
    requests: 4,
    hold_folds: false,
};
