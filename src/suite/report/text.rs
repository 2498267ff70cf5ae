//! One line for each test, and what is wrong below it. Times are left out,
//! so that two runs can be compared.

use super::indented;
use crate::suite::{Outcome, Test};

pub fn result(test: &Test) -> String {
    let name = &test.name;
    match &test.outcome {
        Outcome::Passed => format!("ok    {name}\n"),
        Outcome::Updated(files) => format!("ok    {name} (wrote {})\n", files.join(", ")),
        Outcome::Failed { reason, details } => {
            format!("FAIL  {name}: {reason}\n{}", indented(details, "      "))
        }
    }
}
