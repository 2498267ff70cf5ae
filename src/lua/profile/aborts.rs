//! Why LuaJIT gave up compiling a trace, in words.
//!
//! The numbers are those of the vendored LuaJIT (`lj_traceerr.h`), whose own
//! texts lie in files that are not shipped.

use serde::Serialize;

/// Traces given up at one place for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Abort {
    /// `file:line`.
    pub location: String,
    pub reason: String,
    pub count: u64,
}

const REASONS: [&str; 35] = [
    "an error was raised while recording",
    "the trace is too short",
    "the trace is too long",
    "calls are nested too deep",
    "too many branches (snapshots)",
    "the code was given up on before",
    "recording was begun anew",
    "an instruction that is not compiled",
    "the loop was left",
    "an inner loop begins",
    "a loop was unrolled too often",
    "an argument has the wrong type",
    "compilation is switched off for the function",
    "calls were unrolled too often",
    "recursion downwards",
    "a function that is not compiled in this use",
    "a return to a lower frame",
    "a nil or NaN key is stored",
    "a metamethod is missing",
    "an index leads in a circle",
    "a table that is half list",
    "a C symbol is not known yet",
    "a C conversion that is not compiled",
    "a C function type that is not compiled",
    "a test would always fail",
    "too many values live across the loop",
    "the types of values change in every round",
    "no memory for machine code",
    "the machine code is too long",
    "the machine code area is full",
    "too many spilled registers",
    "registers do not fit",
    "an operation that is not compiled",
    "the loop's values move too intricately",
    "registers cannot be joined",
];

const NYI_INSTRUCTION: u32 = 7;
const NYI_FUNCTION: u32 = 15;

/// Instructions of rules that LuaJIT does not compile (`lj_bc.h`).
const INSTRUCTIONS: &[(u32, &str)] = &[
    (50, "the end of a local that a closure uses"),
    (51, "a closure is made"),
    (63, "a table of all results or arguments"),
    (71, "varargs of unknown number"),
];

/// The reason of a number, with what LuaJIT says of it.
pub fn reason(code: u32, detail: Option<&str>) -> String {
    let Some(text) = REASONS.get(code as usize) else {
        return format!("reason {code} of LuaJIT");
    };
    let instruction = detail
        .filter(|_| code == NYI_INSTRUCTION)
        .and_then(|detail| detail.parse::<u32>().ok());
    match (instruction, detail) {
        (Some(number), _) => match INSTRUCTIONS.iter().find(|(known, _)| *known == number) {
            Some((_, name)) => format!("{text}: {name}"),
            None => format!("{text}: number {number}"),
        },
        (None, Some(detail)) if code == NYI_FUNCTION => format!("{text}: {detail}"),
        _ => (*text).to_owned(),
    }
}
