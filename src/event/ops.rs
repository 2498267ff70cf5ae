//! What the Lua library may ask of the engine: a table of C functions.
//!
//! Declared here, filled by `engine::ops`, called by `lua` through LuaJIT's
//! FFI. Arguments are numbers and the engine's own pointer; every slot comes
//! with the generation that the caller saw, so that a stale object is
//! refused with [`Status::Stale`]. The functions never unwind, never call
//! Lua, and take bounded time. [`cdef`] says the same in C.

use std::ffi::c_void;

/// How an operation ended. The Lua library turns these into error texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    Ok = 0,
    /// The packet or flow is gone, sent or dropped.
    Stale = 1,
    /// Captured bytes may not be changed (pass-through).
    ReadOnly = 2,
    /// The object is not in a state for it ("operation not supported").
    Unsupported = 3,
    /// Nested too deep, or a cap was reached.
    Full = 4,
    /// Already dropped ("connection already dropped").
    AlreadyDropped = 5,
    /// Not established yet ("cannot reset a non-established connection").
    NotEstablished = 6,
    /// The field lies outside the packet.
    OutOfPacket = 7,
    /// The engine is borrowed elsewhere: a defect, reported as such.
    Busy = 8,
    /// The text cannot stand where it was to be written.
    BadField = 9,
    BadName = 10,
    BadValue = 11,
}

/// Layers of a packet, as numbers in calls.
pub mod layer {
    /// The whole frame's network payload (`packet`).
    pub const LINK: u32 = 0;
    /// IPv4 or IPv6.
    pub const NETWORK: u32 = 1;
    /// TCP, UDP, ICMP or ICMPv6.
    pub const TRANSPORT: u32 = 2;
}

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $kind:ty = $c:literal),*) -> $ret:ty = $cret:literal;)*) => {
        /// The functions, in the order of the C declaration.
        #[derive(Clone, Copy)]
        #[repr(C)]
        pub struct Ops {
            $($(#[$doc])* pub $name: extern "C" fn(engine: *mut c_void $(, $arg: $kind)*) -> $ret,)*
        }

        /// The C declarations of the table, the records and their types.
        pub fn cdef() -> String {
            let mut text = String::from(RECORDS);
            text.push_str("typedef struct {\n");
            $(text.push_str(concat!("  ", $cret, " (*", stringify!($name), ")(void *engine" $(, ", ", $c, " ", stringify!($arg))*, ");\n"));)*
            text.push_str("} wero_ops;\n");
            text
        }

        /// Each function for builds without the protocol that it is of. Who
        /// would call it is not there either.
        pub mod absent {
            use super::{Absent, c_void};

            $(#[allow(clippy::too_many_arguments)]
            pub extern "C" fn $name(_: *mut c_void $(, _: $kind)*) -> $ret {
                <$ret>::ABSENT
            })*
        }
    };
}

/// The answer where there is nobody to ask.
trait Absent {
    const ABSENT: Self;
}

impl Absent for i32 {
    const ABSENT: i32 = Status::Unsupported as i32;
}

impl Absent for i64 {
    const ABSENT: i64 = -1;
}

impl Absent for u32 {
    const ABSENT: u32 = 0;
}

impl Absent for u64 {
    const ABSENT: u64 = 0;
}

impl Absent for f64 {
    const ABSENT: f64 = f64::NAN;
}

impl Absent for *const u8 {
    const ABSENT: *const u8 = std::ptr::null();
}

ops! {
    /// Begins a nested drive; returns what `leave` must be given.
    enter() -> u32 = "uint32_t";
    /// Ends it, and abandons what it left unfinished.
    leave(floor: u32 = "uint32_t") -> i32 = "int32_t";
    /// Goes on until somebody must hear an event: its kind, its subject in
    /// `current`; -1 when the nested work is done.
    step() -> i32 = "int32_t";
    /// Puts the bytes of this event into the stream, under the number that
    /// `current` tells.
    piece_show() -> i32 = "int32_t";
    /// Refuses a packet. `listener` is the place in the list of the event
    /// `kind` that refuses it (0: none), for reports.
    packet_drop(slot: u32 = "uint32_t", generation: u32 = "uint32_t", kind: u32 = "uint32_t", listener: u32 = "uint32_t") -> i32 = "int32_t";
    /// Takes a packet out of its dissection and holds it. It leaves when a
    /// rule sends it, after `packet_return`.
    packet_keep(slot: u32 = "uint32_t", generation: u32 = "uint32_t") -> i32 = "int32_t";
    /// A kept packet is no longer held. Stale if it is gone, or if a rule has
    /// refused it meanwhile.
    packet_return(slot: u32 = "uint32_t", generation: u32 = "uint32_t") -> i32 = "int32_t";
    /// Refuses a kept packet as the engine would: 0 its bytes came before,
    /// 1 too much waits, 2 its checksum is wrong.
    packet_refuse(slot: u32 = "uint32_t", generation: u32 = "uint32_t", why: u32 = "uint32_t") -> i32 = "int32_t";
    /// Whether a segment may enter a stream of whose sender's checksums so
    /// much is known (0 nothing): twice what is known now, plus 1 if it may;
    /// negative status.
    checksum_allows(slot: u32 = "uint32_t", generation: u32 = "uint32_t", known: u32 = "uint32_t") -> i32 = "int32_t";
    /// Begins sending from the given layer up. Drive afterwards.
    packet_send(slot: u32 = "uint32_t", generation: u32 = "uint32_t", layer: u32 = "uint32_t") -> i32 = "int32_t";
    /// Hands a forged packet back to the engine as if captured.
    packet_inject(slot: u32 = "uint32_t", generation: u32 = "uint32_t", layer: u32 = "uint32_t") -> i32 = "int32_t";
    /// Makes a forged packet with `size` zero bytes of network payload.
    /// Returns its slot, or a negative status.
    packet_create(size: u32 = "uint32_t") -> i64 = "int64_t";
    /// Appends a header: network layer with `protocol` 4 or 6 as version,
    /// transport layer with the protocol's number and `size` bytes.
    layer_create(slot: u32 = "uint32_t", generation: u32 = "uint32_t", layer: u32 = "uint32_t", protocol: u32 = "uint32_t", size: u32 = "uint32_t") -> i32 = "int32_t";
    /// Writes `width` (1, 2, 4) bytes, big endian, into the header of a
    /// layer, keeping the bits outside `mask`.
    write(slot: u32 = "uint32_t", generation: u32 = "uint32_t", layer: u32 = "uint32_t", offset: u32 = "uint32_t", width: u32 = "uint32_t", mask: u32 = "uint32_t", value: u32 = "uint32_t") -> i32 = "int32_t";
    /// Writes source (0) or destination (1) address: 16 bytes as two
    /// big-endian halves; an IPv4 address is in the low 32 bits of `low`.
    write_address(slot: u32 = "uint32_t", generation: u32 = "uint32_t", which: u32 = "uint32_t", high: u64 = "uint64_t", low: u64 = "uint64_t") -> i32 = "int32_t";
    /// Sets or clears "do not reassemble".
    dont_reassemble(slot: u32 = "uint32_t", generation: u32 = "uint32_t", on: u32 = "uint32_t") -> i32 = "int32_t";
    /// Opens the payload of a layer as a buffer. The record's `buffers` and
    /// `buffer_generations` then name it.
    payload(slot: u32 = "uint32_t", generation: u32 = "uint32_t", layer: u32 = "uint32_t") -> i32 = "int32_t";
    /// Whether the checksum of the layer is right: 1 or 0, negative status.
    verify_checksum(slot: u32 = "uint32_t", generation: u32 = "uint32_t", layer: u32 = "uint32_t") -> i32 = "int32_t";
    /// Writes the right checksum into the layer now.
    compute_checksum(slot: u32 = "uint32_t", generation: u32 = "uint32_t", layer: u32 = "uint32_t") -> i32 = "int32_t";
    /// The flow that an ICMP error is about: its slot times two, plus one if
    /// the quoted packet went to the client; negative for none.
    related(slot: u32 = "uint32_t", generation: u32 = "uint32_t") -> i64 = "int64_t";
    /// What a next_dissector policy chose for a packet: 0 none, 1 native,
    /// 2 a dissector in Lua.
    choose(slot: u32 = "uint32_t", generation: u32 = "uint32_t", next: u32 = "uint32_t") -> i32 = "int32_t";
    /// Lets go what readers have passed: bit 0 to the server, bit 1 to the
    /// client. Drive afterwards.
    flow_send(flow: u32 = "uint32_t", generation: u32 = "uint32_t", directions: u32 = "uint32_t") -> i32 = "int32_t";
    /// The rest of a flow passes without being shown. Drive afterwards.
    flow_bypass(flow: u32 = "uint32_t", generation: u32 = "uint32_t") -> i32 = "int32_t";
    /// Drops a flow. Drive afterwards.
    flow_drop(flow: u32 = "uint32_t", generation: u32 = "uint32_t", kind: u32 = "uint32_t", listener: u32 = "uint32_t") -> i32 = "int32_t";
    /// Resets a connection: bit 0 towards the server, bit 1 towards the
    /// client. Drive afterwards.
    flow_reset(flow: u32 = "uint32_t", generation: u32 = "uint32_t", towards: u32 = "uint32_t", kind: u32 = "uint32_t", listener: u32 = "uint32_t") -> i32 = "int32_t";
    /// The stream buffer of a direction: index and generation packed as
    /// generation * 2^32 + index; 0 when there is none.
    flow_stream(flow: u32 = "uint32_t", generation: u32 = "uint32_t", direction: u32 = "uint32_t") -> u64 = "uint64_t";
    /// A dissector in Lua reads the flow from now on.
    flow_scripted(flow: u32 = "uint32_t", generation: u32 = "uint32_t", on: u32 = "uint32_t") -> i32 = "int32_t";
    /// A dissector of the engine reads the flow from now on, by its bit of
    /// `core::dissector`.
    flow_dissect(flow: u32 = "uint32_t", generation: u32 = "uint32_t", bit: u32 = "uint32_t") -> i32 = "int32_t";
    /// The slot of the connection that announced a connection; -1 if none
    /// did, -2 if it is gone.
    flow_parent(flow: u32 = "uint32_t", generation: u32 = "uint32_t") -> i64 = "int64_t";
    /// A line of the message of a dialogue with that number, from 0, or null.
    /// Texts are as long as `current.length` says and stay until the next
    /// operation.
    line_text(flow: u32 = "uint32_t", generation: u32 = "uint32_t", message: u32 = "uint32_t", index: u32 = "uint32_t") -> *const u8 = "const char *";
    /// Changes such a line.
    line_set(flow: u32 = "uint32_t", generation: u32 = "uint32_t", message: u32 = "uint32_t", index: u32 = "uint32_t", line: *const u8 = "const char *", len: u32 = "uint32_t") -> i32 = "int32_t";
    /// The number of the request (0) or response (1) that belongs to the
    /// event under way, `of_body` if that is one about a body; what comes
    /// next (2) on the connection. 0 if there is none.
    http_current(flow: u32 = "uint32_t", generation: u32 = "uint32_t", which: u32 = "uint32_t", of_body: u32 = "uint32_t") -> u32 = "uint32_t";
    /// A part of a message's start line, or null. Texts are as long as
    /// `current.length` says and stay until the next operation.
    http_field(flow: u32 = "uint32_t", generation: u32 = "uint32_t", message: u32 = "uint32_t", field: u32 = "uint32_t") -> *const u8 = "const char *";
    /// The value of the first header with that name, or null.
    http_header(flow: u32 = "uint32_t", generation: u32 = "uint32_t", message: u32 = "uint32_t", name: *const u8 = "const char *", len: u32 = "uint32_t") -> *const u8 = "const char *";
    /// Name (0) or value (1) of the header line at an index, or null; of the
    /// trailers (2, 3).
    http_line(flow: u32 = "uint32_t", generation: u32 = "uint32_t", message: u32 = "uint32_t", index: u32 = "uint32_t", part: u32 = "uint32_t") -> *const u8 = "const char *";
    /// Writes a part of the start line.
    http_set_field(flow: u32 = "uint32_t", generation: u32 = "uint32_t", message: u32 = "uint32_t", field: u32 = "uint32_t", value: *const u8 = "const char *", len: u32 = "uint32_t") -> i32 = "int32_t";
    /// Sets (0), adds (1) or removes (2) a header.
    http_set_header(flow: u32 = "uint32_t", generation: u32 = "uint32_t", message: u32 = "uint32_t", how: u32 = "uint32_t", name: *const u8 = "const char *", name_len: u32 = "uint32_t", value: *const u8 = "const char *", len: u32 = "uint32_t") -> i32 = "int32_t";
    /// Lets rules change the size of a message's body.
    http_resize(flow: u32 = "uint32_t", generation: u32 = "uint32_t", message: u32 = "uint32_t") -> i32 = "int32_t";
    /// Lets listeners see a message's body without its codings: whether it
    /// has any (0 or 1), or minus a status.
    http_decode(flow: u32 = "uint32_t", generation: u32 = "uint32_t", message: u32 = "uint32_t") -> i32 = "int32_t";
    /// The name at an offset of a message, as text, or null. Texts are as
    /// long as `current.length` says and stay until the next operation.
    dns_name(slot: u32 = "uint32_t", generation: u32 = "uint32_t", at: u32 = "uint32_t") -> *const u8 = "const char *";
    /// One part of a record's data, as text, or null: texts raw, anything
    /// else as in master files.
    dns_part(slot: u32 = "uint32_t", generation: u32 = "uint32_t", item: u32 = "uint32_t", part: u32 = "uint32_t") -> *const u8 = "const char *";
    /// All data of a record in master-file form, or null.
    dns_data(slot: u32 = "uint32_t", generation: u32 = "uint32_t", item: u32 = "uint32_t") -> *const u8 = "const char *";
    /// Writes `width` (1 to 4) bytes, big endian, keeping the bits outside
    /// `mask`.
    dns_write(slot: u32 = "uint32_t", generation: u32 = "uint32_t", at: u32 = "uint32_t", width: u32 = "uint32_t", mask: u32 = "uint32_t", value: u32 = "uint32_t") -> i32 = "int32_t";
    /// Gives an entry another owner, from its text.
    dns_set_owner(slot: u32 = "uint32_t", generation: u32 = "uint32_t", item: u32 = "uint32_t", name: *const u8 = "const char *", len: u32 = "uint32_t") -> i32 = "int32_t";
    /// Gives a record other data, in master-file form. What is wrong with
    /// the text is then a text of its own, `current.length` long.
    dns_set_data(slot: u32 = "uint32_t", generation: u32 = "uint32_t", item: u32 = "uint32_t", data: *const u8 = "const char *", len: u32 = "uint32_t") -> *const u8 = "const char *";
    /// Adds a record at the end of a section; answers as `dns_set_data`.
    /// Without a name it is that of the question.
    dns_append(slot: u32 = "uint32_t", generation: u32 = "uint32_t", section: u32 = "uint32_t", kind: u32 = "uint32_t", class_ttl: u64 = "uint64_t", name: *const u8 = "const char *", name_len: u32 = "uint32_t", data: *const u8 = "const char *", len: u32 = "uint32_t") -> *const u8 = "const char *";
    /// Removes a record, or with `item` -1 all of a section.
    dns_remove(slot: u32 = "uint32_t", generation: u32 = "uint32_t", section: u32 = "uint32_t", item: u32 = "uint32_t") -> i32 = "int32_t";
    /// Drops the message. `listener` is as in `packet_drop`.
    dns_drop(slot: u32 = "uint32_t", generation: u32 = "uint32_t", kind: u32 = "uint32_t", listener: u32 = "uint32_t") -> i32 = "int32_t";
    /// Answers a query in the server's place: the slot of the response, or
    /// a negative status.
    dns_reply(slot: u32 = "uint32_t", generation: u32 = "uint32_t", kind: u32 = "uint32_t", listener: u32 = "uint32_t") -> i64 = "int64_t";
    /// The serial number of a handshake message: a client's (0) or server's
    /// (1) hello, a certificate (2), an alert (3). 0 if there was none.
    tls_serial(flow: u32 = "uint32_t", generation: u32 = "uint32_t", which: u32 = "uint32_t") -> u32 = "uint32_t";
    /// A part of a handshake message, or null. Texts are as long as
    /// `current.length` says and stay until the next operation.
    tls_text(flow: u32 = "uint32_t", generation: u32 = "uint32_t", which: u32 = "uint32_t", part: u32 = "uint32_t") -> *const u8 = "const char *";
    /// A part that is a number; not a number if it is not there.
    tls_number(flow: u32 = "uint32_t", generation: u32 = "uint32_t", which: u32 = "uint32_t", part: u32 = "uint32_t") -> f64 = "double";
    /// Whether anybody hears an event.
    hook(kind: u32 = "uint32_t", on: u32 = "uint32_t") -> i32 = "int32_t";
    /// Whether rules added entries to a policy, named by its event.
    extend(kind: u32 = "uint32_t", on: u32 = "uint32_t") -> i32 = "int32_t";
    /// Starts a periodic timer on packet time: its number, which the event
    /// `core:timer` will carry, or a negative status.
    timer_start(seconds: f64 = "double") -> i64 = "int64_t";
    /// Stops it.
    timer_stop(number: u32 = "uint32_t") -> i32 = "int32_t";
    /// Rule files asked for dissectors: bits of `core::dissector`.
    load(bits: u32 = "uint32_t") -> i32 = "int32_t";
}

/// The records that Lua reads in place. `engine::ops` checks each offset.
pub const RECORDS: &str = "
typedef struct {
  uint32_t generation; uint8_t state; uint8_t dirty; uint8_t ip_version; uint8_t protocol;
  uint8_t *data;
  uint32_t len; uint32_t ip_at; uint32_t transport_at; uint32_t payload_at; uint32_t end;
  uint16_t flags; uint16_t link;
  uint64_t id; int64_t timestamp;
  uint32_t buffers[3]; uint32_t buffer_generations[3];
  uint8_t next; uint8_t depth; uint16_t ethertype;
  uint32_t wire_len; uint32_t mark; uint32_t vlan; uint32_t tunnel; uint32_t devices[2]; uint32_t next_free; uint32_t extent[2];
} wero_packet;
typedef struct {
  uint32_t generation; uint8_t state; uint8_t protocol; uint8_t family; uint8_t reserved;
  uint16_t flags; uint16_t timer_bucket; uint16_t client_port; uint16_t server_port;
  uint8_t client[16]; uint8_t server[16];
  uint32_t vlan; uint32_t tunnel; uint32_t side; uint32_t timer_due;
  int64_t last_seen; int64_t first_seen;
  uint32_t packets[2]; uint64_t bytes[2];
  uint64_t id; uint64_t first_frame; uint32_t timer_next; uint32_t timer_prev;
} wero_flow;
typedef struct { uint16_t name; uint16_t fixed; uint16_t data_len; uint16_t section; uint32_t number; } wero_dns_item;
typedef struct {
  uint32_t generation; uint8_t state; uint8_t writable; uint8_t over_tcp; uint8_t reserved;
  const uint8_t *data; const wero_dns_item *items;
  uint32_t len; uint32_t first[5]; uint32_t packet; uint32_t next_free;
} wero_dns;
typedef struct {
  uint32_t packet; uint32_t flow; uint32_t direction; uint32_t stream; uint32_t stream_generation;
  uint32_t fresh; uint32_t finished; uint32_t detail; uint32_t piece; uint32_t length; uint32_t loose;
} wero_current;
";
