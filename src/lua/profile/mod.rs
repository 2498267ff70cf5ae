//! What rules cost: calls, time and memory of each, samples of where they
//! are, and what the JIT compiler gave up on.
//!
//! The library calls `begin` and `done` around each span, through a table
//! of C functions, since anything else would cost more than many rules. Time
//! is a span's own: what lies in it counts for itself; that of an event is
//! the whole of its delivery. The clock is given by
//! the program. Samples come from LuaJIT's own profiler, which is one for the
//! whole process: one state is profiled at a time.

mod aborts;
mod histogram;
mod sampler;

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ffi::c_void;
use std::rc::Rc;

use mlua::{LightUserData, Table};

pub use aborts::Abort;
pub use histogram::Histogram;
pub use sampler::Sampler;

use super::Host;

/// Different stacks that are kept; further ones count for their rule alone.
const MAX_STACKS: usize = 20_000;
/// Spans open at once; events nest 32 deep.
const MAX_OPEN: usize = 256;

/// Declarations of `SpanApi`, for the library.
pub const CDEF: &str = "
typedef struct {
  uint32_t (*begin)(void *profiler, uint32_t span);
  void (*done)(void *profiler, uint32_t token);
} wero_span_api;
";

/// The C functions that the library calls.
#[repr(C)]
struct SpanApi {
    begin: extern "C" fn(*mut c_void, u32) -> u32,
    done: extern "C" fn(*mut c_void, u32),
}

static API: SpanApi = SpanApi { begin, done };

/// What a span is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanName {
    Event(String),
    Rule { name: String, location: String },
    Member { location: String },
    Policy { name: String, location: String },
}

impl SpanName {
    /// As one frame of a folded stack, which `;` would end.
    fn frame(&self) -> String {
        let text = match self {
            SpanName::Event(name) => name.clone(),
            SpanName::Rule { name, location } if name.is_empty() => format!("rule {location}"),
            SpanName::Rule { name, location } => format!("rule {location} ({name})"),
            SpanName::Member { location } => format!("member {location}"),
            SpanName::Policy { name, location } if location.is_empty() => format!("policy {name}"),
            SpanName::Policy { name, location } => format!("policy {location} ({name})"),
        };
        text.replace(';', ",")
    }
}

/// Figures of one span. Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct Cost {
    pub span: SpanName,
    /// The event in which it ran, for all but events.
    pub event: Option<String>,
    pub calls: u64,
    /// Calls that an error ended.
    pub failed: u64,
    pub time: u64,
    pub times: Histogram,
    /// Bytes that Lua allocated in it.
    pub memory: u64,
}

#[derive(Debug)]
struct Open {
    span: u32,
    started: u64,
    allocated: u64,
    /// What lay in it.
    inner_time: u64,
    inner_memory: u64,
}

#[derive(Default)]
struct Figures {
    costs: Vec<Cost>,
    open: Vec<Open>,
    stacks: HashMap<String, u64>,
}

/// Takes the measures of one Lua state.
pub struct Profiler {
    clock: fn() -> u64,
    /// Bytes that the state has allocated so far.
    allocated: Cell<*const u64>,
    figures: RefCell<Figures>,
}

impl Profiler {
    /// A profiler with a clock that counts nanoseconds.
    pub fn new(clock: fn() -> u64) -> Rc<Profiler> {
        Rc::new(Profiler {
            clock,
            allocated: Cell::new(std::ptr::null()),
            figures: RefCell::default(),
        })
    }

    /// The state whose memory is measured. It must outlive the profiling.
    pub(super) fn attach(&self, allocated: *const u64) {
        self.allocated.set(allocated);
    }

    /// Makes a span known; the answer is its number.
    pub fn announce(&self, span: SpanName) -> u32 {
        let mut figures = self.figures.borrow_mut();
        figures.costs.push(Cost {
            span,
            event: None,
            calls: 0,
            failed: 0,
            time: 0,
            times: Histogram::default(),
            memory: 0,
        });
        figures.costs.len() as u32 - 1
    }

    /// Puts the C functions into the table that the library reads.
    ///
    /// # Errors
    /// When Lua is out of memory.
    pub fn install(self: &Rc<Self>, table: &Table) -> mlua::Result<()> {
        table.set(
            "api",
            LightUserData(std::ptr::from_ref(&API).cast_mut().cast()),
        )?;
        table.set("self", LightUserData(Rc::as_ptr(self).cast_mut().cast()))
    }

    /// All spans ended by an error, or were left behind by one.
    pub fn failed(&self) {
        let now = (self.clock)();
        if let Ok(mut figures) = self.figures.try_borrow_mut() {
            figures.end_above(0, now, self.allocated_now(), true);
        }
    }

    /// The figures of spans that ran, in the order in which they were made
    /// known.
    pub fn costs(&self) -> Vec<Cost> {
        let figures = self.figures.borrow();
        let ran = figures.costs.iter().filter(|cost| cost.calls > 0);
        ran.cloned().collect()
    }

    /// Samples by stack, outermost frame first, joined by `;`.
    pub fn stacks(&self) -> Vec<(String, u64)> {
        let figures = self.figures.borrow();
        let mut stacks: Vec<_> = figures
            .stacks
            .iter()
            .map(|(stack, count)| (stack.clone(), *count))
            .collect();
        stacks.sort();
        stacks
    }

    /// Counts samples of the Lua stack `frames`, outermost first.
    fn sample(&self, frames: &[String], samples: u64) {
        let Ok(mut figures) = self.figures.try_borrow_mut() else {
            return;
        };
        let figures = &mut *figures;
        let spans = figures
            .open
            .iter()
            .filter_map(|open| figures.costs.get(open.span as usize))
            .map(|cost| cost.span.frame());
        let mut names: Vec<String> = spans.collect();
        if names.is_empty() {
            // Loading the rules, or the library between two calls.
            names.push("outside of events".to_owned());
        }
        let own = names.len();
        names.extend_from_slice(frames);
        let mut stack = names.join(";");
        if figures.stacks.len() >= MAX_STACKS && !figures.stacks.contains_key(&stack) {
            names.truncate(own);
            stack = names.join(";");
        }
        *figures.stacks.entry(stack).or_default() += samples;
    }

    fn allocated_now(&self) -> u64 {
        let at = self.allocated.get();
        if at.is_null() {
            return 0;
        }
        // SAFETY: the address is that of a live host's counter; the runtime
        // that owns the host holds this profiler only as long.
        unsafe { at.read() }
    }
}

impl Figures {
    fn begin(&mut self, span: u32, now: u64, allocated: u64) -> u32 {
        if self.open.len() < MAX_OPEN {
            let event = self.event();
            if let Some(cost) = self.costs.get_mut(span as usize)
                && cost.event.is_none()
                && !matches!(cost.span, SpanName::Event(_))
            {
                cost.event = event;
            }
            self.open.push(Open {
                span,
                started: now,
                allocated,
                inner_time: 0,
                inner_memory: 0,
            });
        }
        self.open.len() as u32
    }

    /// The innermost event, asked for once a span.
    fn event(&self) -> Option<String> {
        let costs = &self.costs;
        let names = self.open.iter().rev();
        names
            .filter_map(|open| costs.get(open.span as usize))
            .find_map(|cost| match &cost.span {
                SpanName::Event(name) => Some(name.clone()),
                _ => None,
            })
    }

    fn end_above(&mut self, keep: usize, now: u64, allocated: u64, failed: bool) {
        while self.open.len() > keep {
            let Some(open) = self.open.pop() else { return };
            let time = now.saturating_sub(open.started);
            let memory = allocated.saturating_sub(open.allocated);
            let own = time.saturating_sub(open.inner_time);
            let own_memory = memory.saturating_sub(open.inner_memory);
            if let Some(cost) = self.costs.get_mut(open.span as usize) {
                let (time, memory) = match cost.span {
                    SpanName::Event(_) => (time, memory),
                    _ => (own, own_memory),
                };
                cost.calls += 1;
                cost.failed += u64::from(failed);
                cost.time += time;
                cost.times.add(time);
                cost.memory += memory;
            }
            if let Some(outer) = self.open.last_mut() {
                outer.inner_time += time;
                outer.inner_memory += memory;
            }
        }
    }
}

/// # Safety
/// As [`Profiler::install`] gave it out: the runtime holds the profiler as
/// long as its Lua state.
unsafe fn profiler<'a>(at: *mut c_void) -> &'a Profiler {
    // SAFETY: see above.
    unsafe { &*at.cast::<Profiler>() }
}

extern "C" fn begin(at: *mut c_void, span: u32) -> u32 {
    // SAFETY: the library passes the pointer that it was given.
    let profiler = unsafe { profiler(at) };
    let Ok(mut figures) = profiler.figures.try_borrow_mut() else {
        return 0;
    };
    let allocated = profiler.allocated_now();
    figures.begin(span, (profiler.clock)(), allocated)
}

extern "C" fn done(at: *mut c_void, token: u32) {
    // SAFETY: as in `begin`.
    let profiler = unsafe { profiler(at) };
    let now = (profiler.clock)();
    if let Ok(mut figures) = profiler.figures.try_borrow_mut() {
        let allocated = profiler.allocated_now();
        figures.end_above(token as usize, now, allocated, true);
        figures.end_above((token as usize).saturating_sub(1), now, allocated, false);
    }
}

/// Reads what the JIT compiler gave up on from the library's list.
pub fn aborts_of(host: &Host, list: &Table) -> Vec<Abort> {
    let rows = host.ask(|_| {
        list.clone()
            .sequence_values::<Table>()
            .map(|row| {
                let row = row?;
                let detail: Option<String> = row.get("detail")?;
                Ok(Abort {
                    location: row.get("location")?,
                    reason: aborts::reason(row.get("code")?, detail.as_deref()),
                    count: row.get("count")?,
                })
            })
            .collect::<mlua::Result<Vec<Abort>>>()
    });
    let mut rows = rows.unwrap_or_default();
    // What the author of the rules can change comes first.
    rows.sort_by_key(|row| {
        let library = row.location.starts_with("[wero]");
        (library, Reverse(row.count), row.location.clone())
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
    }

    fn rule(name: &str) -> SpanName {
        SpanName::Rule {
            name: name.to_owned(),
            location: "r.lua:1".to_owned(),
        }
    }

    #[test]
    fn time_counts_for_the_innermost_span() {
        let profiler = Profiler::new(|| NOW.get());
        let at: *mut c_void = Rc::as_ptr(&profiler).cast_mut().cast();
        let event = profiler.announce(SpanName::Event("tcp:receive_packet".to_owned()));
        let (outer, inner) = (
            profiler.announce(rule("outer")),
            profiler.announce(rule("inner")),
        );
        let a = begin(at, event);
        let b = begin(at, outer);
        NOW.set(10);
        let c = begin(at, inner);
        NOW.set(15);
        done(at, c);
        NOW.set(18);
        done(at, b);
        done(at, a);
        let costs = profiler.costs();
        let figures: Vec<_> = costs.iter().map(|cost| (cost.calls, cost.time)).collect();
        assert_eq!(figures, [(1, 18), (1, 13), (1, 5)]);
        assert_eq!(costs[2].event.as_deref(), Some("tcp:receive_packet"));
        assert_eq!(costs[1].times.max(), 13);
    }

    #[test]
    fn what_an_error_left_open_ends_with_what_is_around_it() {
        let profiler = Profiler::new(|| 0);
        let at: *mut c_void = Rc::as_ptr(&profiler).cast_mut().cast();
        let (outer, inner) = (
            profiler.announce(rule("outer")),
            profiler.announce(rule("inner")),
        );
        let token = begin(at, outer);
        begin(at, inner);
        done(at, token);
        let failed: Vec<_> = profiler.costs().iter().map(|cost| cost.failed).collect();
        assert_eq!(failed, [0, 1]);
    }
}
