//! Messages of the kernel's packet queue (nfnetlink_queue), as bytes.
//!
//! Reads what the kernel sends: packets, and answers to what we sent. Writes
//! what we send: configuration and verdicts. Pure functions over slices:
//! nothing here panics or reads past the end, whatever the bytes are. A
//! message is a netlink header of 16 bytes, the header of netfilter's
//! subsystems of 4, then attributes (length, kind, value, padding to 4).
//! Netlink's own fields are in the machine's byte order, those of the queue
//! in the network's. Not here: sockets, and what to do about a packet.

use std::fmt;

/// The longest payload that an attribute can carry back to the kernel: its
/// length, with 4 bytes of header, is 16 bits wide.
pub const MAX_PAYLOAD: usize = u16::MAX as usize - ATTRIBUTE_HEADER;

/// Room in front of the payload of a verdict, with its own header: netlink
/// and netfilter headers, the verdict, the mark.
pub const VERDICT_ROOM: usize = MESSAGE_HEADER + 12 + 8 + ATTRIBUTE_HEADER;

const NETLINK_HEADER: usize = 16;
const MESSAGE_HEADER: usize = NETLINK_HEADER + 4;
const ATTRIBUTE_HEADER: usize = 4;

/// The upper byte of a message's kind.
const SUBSYSTEM: u16 = (libc::NFNL_SUBSYS_QUEUE as u16) << 8;
const PACKET: u16 = SUBSYSTEM | libc::NFQNL_MSG_PACKET as u16;
const VERDICT: u16 = SUBSYSTEM | libc::NFQNL_MSG_VERDICT as u16;
const CONFIG: u16 = SUBSYSTEM | libc::NFQNL_MSG_CONFIG as u16;
const ANSWER: u16 = libc::NLMSG_ERROR as u16;

/// The flag bits that share the kind of an attribute.
const ATTRIBUTE_KIND: u16 = 0x3fff;

/// A packet that waits in the kernel for a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued<'a> {
    /// What the verdict names. Counts up by one for each packet of the queue.
    pub id: u32,
    /// Netfilter's hook: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub hook: u8,
    /// The ethertype, as the kernel sees the packet: 0x0800 or 0x86dd for IP.
    pub protocol: u16,
    /// Indexes of devices; 0 where there is none.
    pub in_device: u32,
    pub out_device: u32,
    /// The ports of a bridge, where the devices are bridges.
    pub physical_in: u32,
    pub physical_out: u32,
    pub mark: u32,
    /// Longer than a segment on the wire: the kernel or the device will cut
    /// it (GSO).
    pub offloaded: bool,
    /// The checksum of the transport is not computed yet: its field holds the
    /// sum of the pseudo-header.
    pub partial_checksum: bool,
    /// The kernel did not say that the checksum still has to be verified.
    pub checksum_verified: bool,
    /// The packet's whole length; more than `bytes` holds if it was cut.
    pub wire_len: u32,
    /// The packet from its IP header on.
    pub bytes: &'a [u8],
}

impl Queued<'_> {
    /// Whether `bytes` is less than the packet: it may be accepted or
    /// refused, but not rewritten.
    pub fn is_cut(&self) -> bool {
        self.wire_len as usize > self.bytes.len()
    }
}

/// What the kernel says about a message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// An error number, or 0 where a message that asked for it was obeyed.
    pub errno: i32,
    /// Whether it is about configuration (else about a verdict).
    pub about_config: bool,
    /// The number that the message of ours had: of a verdict, the packet's id.
    pub sequence: u32,
}

/// One message from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Packet(Queued<'a>),
    Answer(Answer),
    /// Nothing that a queue has to know.
    Other,
}

/// Bytes that are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub what: &'static str,
    /// Where in the datagram.
    pub at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at byte {} of a datagram", self.what, self.at)
    }
}

/// The messages of a datagram, in order; ends with the first that is wrong.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    datagram: &'a [u8],
    at: usize,
}

/// Takes a datagram of the kernel apart.
pub fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages { datagram, at: 0 }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self
            .datagram
            .get(self.at..)
            .filter(|rest| !rest.is_empty())?;
        let at = self.at;
        let Some(message) = whole(rest) else {
            self.at = self.datagram.len();
            let what = "a netlink message longer than what arrived";
            return Some(Err(Malformed { what, at }));
        };
        self.at = at.saturating_add(align(message.len()));
        let read = read(message).map_err(|what| Malformed { what, at });
        if read.is_err() {
            self.at = self.datagram.len();
        }
        Some(read)
    }
}

/// The first message of `bytes`, header included, without its padding.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let length = u32_native(bytes, 0)? as usize;
    bytes
        .get(..length)
        .filter(|message| message.len() >= NETLINK_HEADER)
}

fn read(message: &[u8]) -> Result<Message<'_>, &'static str> {
    let kind = u16_native(message, 4).ok_or("a netlink message without header")?;
    match kind {
        PACKET => read_packet(message).map(Message::Packet),
        ANSWER => read_answer(message).map(Message::Answer),
        _ => Ok(Message::Other),
    }
}

fn read_answer(message: &[u8]) -> Result<Answer, &'static str> {
    const SHORT: &str = "a netlink answer that is too short";
    let code = u32_native(message, NETLINK_HEADER).ok_or(SHORT)? as i32;
    // After the code stands the header of the message that is answered.
    let about = NETLINK_HEADER + 4;
    Ok(Answer {
        errno: code.checked_neg().unwrap_or(i32::MAX),
        about_config: u16_native(message, about + 4).ok_or(SHORT)? == CONFIG,
        sequence: u32_native(message, about + 8).ok_or(SHORT)?,
    })
}

fn read_packet(message: &[u8]) -> Result<Queued<'_>, &'static str> {
    let mut packet = Queued {
        checksum_verified: true,
        ..Queued::default()
    };
    let mut identified = false;
    let mut whole_len = None;
    for attribute in attributes(message)? {
        let (kind, value) = attribute?;
        const SHORT: &str = "an attribute of a packet that is too short";
        let number = || u32_network(value).ok_or(SHORT);
        match i32::from(kind) {
            libc::NFQA_PACKET_HDR => {
                // The id, the ethertype, the hook.
                let [a, b, c, d, e, f, hook] = *value.first_chunk::<7>().ok_or(SHORT)?;
                packet.id = u32::from_be_bytes([a, b, c, d]);
                packet.protocol = u16::from_be_bytes([e, f]);
                packet.hook = hook;
                identified = true;
            }
            libc::NFQA_MARK => packet.mark = number()?,
            libc::NFQA_IFINDEX_INDEV => packet.in_device = number()?,
            libc::NFQA_IFINDEX_OUTDEV => packet.out_device = number()?,
            libc::NFQA_IFINDEX_PHYSINDEV => packet.physical_in = number()?,
            libc::NFQA_IFINDEX_PHYSOUTDEV => packet.physical_out = number()?,
            libc::NFQA_PAYLOAD => packet.bytes = value,
            libc::NFQA_CAP_LEN => whole_len = Some(number()?),
            libc::NFQA_SKB_INFO => {
                let bits = number()?;
                let has = |bit: i32| bits & bit as u32 != 0;
                packet.partial_checksum = has(libc::NFQA_SKB_CSUMNOTREADY);
                packet.offloaded = has(libc::NFQA_SKB_GSO);
                packet.checksum_verified = !has(libc::NFQA_SKB_CSUM_NOTVERIFIED);
            }
            _ => (),
        }
    }
    if !identified {
        return Err("a packet without id");
    }
    let held = packet.bytes.len() as u32;
    packet.wire_len = whole_len.map_or(held, |whole| whole.max(held));
    Ok(packet)
}

type Attribute<'a> = Result<(u16, &'a [u8]), &'static str>;

/// Kinds and values; ends with the first attribute that is wrong.
fn attributes(message: &[u8]) -> Result<impl Iterator<Item = Attribute<'_>>, &'static str> {
    let mut rest = message
        .get(MESSAGE_HEADER..)
        .ok_or("a message without netfilter's header")?;
    Ok(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((kind, value, length)) = attribute(rest) else {
            rest = &[];
            return Some(Err("an attribute longer than its message"));
        };
        rest = rest.get(align(length)..).unwrap_or_default();
        Some(Ok((kind, value)))
    }))
}

fn attribute(bytes: &[u8]) -> Option<(u16, &[u8], usize)> {
    let length = usize::from(u16_native(bytes, 0)?);
    let kind = u16_native(bytes, 2)? & ATTRIBUTE_KIND;
    let value = bytes.get(ATTRIBUTE_HEADER..length)?;
    Some((kind, value, length))
}

/// Asks for queue `number`, with `copy` bytes of each packet.
///
/// Both go in one message: a queue that exists without the second drops
/// whatever arrives.
pub fn bind(out: &mut Vec<u8>, number: u16, sequence: u32, copy: u32) {
    config(out, number, sequence, |out| {
        put(out, libc::NFQA_CFG_CMD, &command(libc::NFQNL_CFG_CMD_BIND));
        let mut parameters = [0; 5];
        let (range, mode) = parameters.split_at_mut(4);
        range.copy_from_slice(&copy.to_be_bytes());
        mode.fill(libc::NFQNL_COPY_PACKET as u8);
        put(out, libc::NFQA_CFG_PARAMS, &parameters);
    });
}

/// Gives the queue back; the kernel drops what waits in it.
pub fn unbind(out: &mut Vec<u8>, number: u16, sequence: u32) {
    config(out, number, sequence, |out| {
        let unbind = command(libc::NFQNL_CFG_CMD_UNBIND);
        put(out, libc::NFQA_CFG_CMD, &unbind);
    });
}

/// Sets how many packets may wait in the queue.
pub fn length(out: &mut Vec<u8>, number: u16, sequence: u32, packets: u32) {
    config(out, number, sequence, |out| {
        put(out, libc::NFQA_CFG_QUEUE_MAXLEN, &packets.to_be_bytes());
    });
}

/// Switches one of `NFQA_CFG_F_*` on. One at a time, because the kernel
/// refuses all flags of a message for one that it does not know.
pub fn flag(out: &mut Vec<u8>, number: u16, sequence: u32, flag: u32) {
    config(out, number, sequence, |out| {
        put(out, libc::NFQA_CFG_FLAGS, &flag.to_be_bytes());
        put(out, libc::NFQA_CFG_MASK, &flag.to_be_bytes());
    });
}

/// What shall happen to packet `id`: `NF_ACCEPT`, `NF_DROP`, or `NF_QUEUE` with
/// the number of a queue in the upper half; perhaps with another mark, perhaps
/// with other bytes.
///
/// Answered only if it fails. The message's number is the id, so that the
/// answer tells which packet it was. `false`, with nothing written, if the
/// payload is longer than [`MAX_PAYLOAD`].
#[must_use]
pub fn verdict(
    out: &mut Vec<u8>,
    number: u16,
    id: u32,
    verdict: i32,
    mark: Option<u32>,
    payload: Option<&[u8]>,
) -> bool {
    if payload.is_some_and(|payload| payload.len() > MAX_PAYLOAD) {
        return false;
    }
    message(out, VERDICT, libc::NLM_F_REQUEST, number, id, |out| {
        let mut header = [0; 8];
        let (what, which) = header.split_at_mut(4);
        what.copy_from_slice(&verdict.to_be_bytes());
        which.copy_from_slice(&id.to_be_bytes());
        put(out, libc::NFQA_VERDICT_HDR, &header);
        if let Some(mark) = mark {
            put(out, libc::NFQA_MARK, &mark.to_be_bytes());
        }
        if let Some(payload) = payload {
            put(out, libc::NFQA_PAYLOAD, payload);
        }
    });
    true
}

/// The longest run of whole messages at the start of `bytes` that is no
/// longer than `limit`; at least one message, if there is any.
pub fn chunk(bytes: &[u8], limit: usize) -> &[u8] {
    let mut end = 0;
    while let Some(message) = bytes.get(end..).and_then(whole) {
        let next = (end + align(message.len())).min(bytes.len());
        if end > 0 && next > limit {
            break;
        }
        end = next;
    }
    bytes.get(..end).unwrap_or_default()
}

fn command(command: i32) -> [u8; 4] {
    // The last two are a protocol family, which kernels since 3.8 ignore.
    [command as u8, 0, 0, 0]
}

fn config(out: &mut Vec<u8>, number: u16, sequence: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
    message(out, CONFIG, flags, number, sequence, body);
}

fn message(
    out: &mut Vec<u8>,
    kind: u16,
    flags: i32,
    number: u16,
    sequence: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&(flags as u16).to_ne_bytes());
    out.extend_from_slice(&sequence.to_ne_bytes());
    // The sender's port, which the kernel fills in; then no particular
    // family, version 0, and the queue.
    out.extend_from_slice(&[0, 0, 0, 0, libc::AF_UNSPEC as u8, libc::NFNETLINK_V0 as u8]);
    out.extend_from_slice(&number.to_be_bytes());
    body(out);
    let length = (out.len() - start) as u32;
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&length.to_ne_bytes());
    }
}

/// Appends an attribute. Values are at most [`MAX_PAYLOAD`] long.
fn put(out: &mut Vec<u8>, kind: i32, value: &[u8]) {
    debug_assert!(value.len() <= MAX_PAYLOAD);
    let length = (value.len() + ATTRIBUTE_HEADER) as u16;
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&(kind as u16).to_ne_bytes());
    out.extend_from_slice(value);
    let padding = align(value.len()) - value.len();
    out.extend_from_slice([0; 3].get(..padding).unwrap_or_default());
}

fn align(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u16_native(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*field))
}

fn u32_native(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*field))
}

fn u32_network(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|field| u32::from_be_bytes(*field))
}

/// Fuzz body: reads `data` as a datagram of the kernel, gives what it holds
/// verdicts, and cuts those at every limit. Panics when the code breaks its word.
pub fn fuzz_messages(data: &[u8]) {
    let mut out = Vec::new();
    let mut written = 0;
    for message in messages(data) {
        let Ok(Message::Packet(packet)) = message else {
            continue;
        };
        let inside = data.as_ptr_range();
        let bytes = packet.bytes.as_ptr_range();
        assert!(
            packet.bytes.is_empty() || (inside.start <= bytes.start && bytes.end <= inside.end),
            "packets lie in the datagram"
        );
        assert!(packet.wire_len as usize >= packet.bytes.len());
        let payload = (!packet.is_cut()).then_some(packet.bytes);
        let mark = Some(packet.mark);
        assert!(verdict(
            &mut out,
            7,
            packet.id,
            libc::NF_ACCEPT,
            mark,
            payload
        ));
        written += 1;
    }
    for limit in [0, 64, 100_000] {
        let (mut rest, mut messages_cut) = (out.as_slice(), 0);
        while !rest.is_empty() {
            let head = chunk(rest, limit);
            assert!(!head.is_empty(), "what was written is whole messages");
            messages_cut += messages(head).filter(Result::is_ok).count();
            rest = &rest[head.len()..];
        }
        assert_eq!(messages_cut, written, "each verdict is in one chunk");
    }
    // Any bytes can be asked for a chunk.
    assert!(chunk(data, data.len() / 2).len() <= data.len());
}
