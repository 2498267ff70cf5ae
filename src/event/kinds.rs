//! The table of events: one row each, read by the engine, the Lua library
//! and the reference pages.

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Packet,
    Flow,
    /// Neither: something that rules set up for themselves.
    Script,
}

macro_rules! events {
    ($($kind:ident = $dissector:literal $name:literal $subject:ident $doc:literal;)*) => {
        /// One number per event of the native dissectors and per policy that
        /// rules may extend.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum EventKind { $(#[doc = $doc] $kind,)* }

        /// Every event, indexed by its number.
        pub const EVENTS: &[EventRow] = &[
            $(EventRow {
                kind: EventKind::$kind, dissector: $dissector, name: $name,
                subject: Subject::$subject, doc: $doc,
            },)*
        ];
    };
}

/// One event: `dissector:name`. Rows whose name begins with `policy:` are
/// decisions that a policy of the dissector takes.
#[derive(Clone, Copy, Debug)]
pub struct EventRow {
    pub kind: EventKind,
    pub dissector: &'static str,
    pub name: &'static str,
    pub subject: Subject,
    pub doc: &'static str,
}

events! {
    PacketReceive = "packet" "receive_packet" Packet "A packet was captured; before anything is decoded.";
    PacketSend = "packet" "send_packet" Packet "The packet is about to leave.";
    PacketError = "packet" "protocol_error" Packet "The link layer could not be read.";
    PacketNext = "packet" "policy:next_dissector" Packet "Chooses the dissector of the network layer (`proto`).";
    Ipv4Receive = "ipv4" "receive_packet" Packet "An IPv4 packet or fragment arrived.";
    Ipv4Reassembled = "ipv4" "receive_packet_reassembled" Packet "A whole IPv4 datagram is there.";
    Ipv4Send = "ipv4" "send_packet" Packet "The IPv4 packet is about to leave, before lengths and checksum are fixed.";
    Ipv4Error = "ipv4" "protocol_error" Packet "The IPv4 header could not be read.";
    Ipv4Next = "ipv4" "policy:next_dissector" Packet "Chooses the dissector of the payload (`proto`).";
    Ipv6Receive = "ipv6" "receive_packet" Packet "An IPv6 packet or fragment arrived.";
    Ipv6Reassembled = "ipv6" "receive_packet_reassembled" Packet "A whole IPv6 datagram is there.";
    Ipv6Send = "ipv6" "send_packet" Packet "The IPv6 packet is about to leave, before its length is fixed.";
    Ipv6Error = "ipv6" "protocol_error" Packet "The IPv6 header or an extension header could not be read.";
    Ipv6Next = "ipv6" "policy:next_dissector" Packet "Chooses the dissector of the payload (`proto`).";
    IcmpReceive = "icmp" "receive_packet" Packet "An ICMP message arrived.";
    IcmpSend = "icmp" "send_packet" Packet "The ICMP message is about to leave.";
    IcmpError = "icmp" "protocol_error" Packet "The ICMP header could not be read.";
    IcmpNext = "icmp" "policy:next_dissector" Packet "Chooses the dissector of the payload.";
    Icmpv6Receive = "icmpv6" "receive_packet" Packet "An ICMPv6 message arrived.";
    Icmpv6Send = "icmpv6" "send_packet" Packet "The ICMPv6 message is about to leave.";
    Icmpv6Error = "icmpv6" "protocol_error" Packet "The ICMPv6 header could not be read.";
    Icmpv6Next = "icmpv6" "policy:next_dissector" Packet "Chooses the dissector of the payload.";
    TcpReceive = "tcp" "receive_packet" Packet "A TCP segment arrived.";
    TcpSend = "tcp" "send_packet" Packet "The TCP segment is about to leave, before checksum and segmentation.";
    TcpError = "tcp" "protocol_error" Packet "The TCP header could not be read.";
    TcpNext = "tcp" "policy:next_dissector" Packet "Chooses the dissector of the segment (`srcport`, `dstport`).";
    UdpReceive = "udp" "receive_packet" Packet "A UDP datagram arrived.";
    UdpSend = "udp" "send_packet" Packet "The UDP datagram is about to leave.";
    UdpError = "udp" "protocol_error" Packet "The UDP header could not be read.";
    UdpNext = "udp" "policy:next_dissector" Packet "Chooses the dissector of the datagram (`srcport`, `dstport`).";
    TcpNewConnection = "tcp_connection" "new_connection" Flow "A connection begins; its first packet has not been sent yet.";
    TcpReceivePacket = "tcp_connection" "receive_packet" Flow "A packet of a known connection arrived, before the state machine sees it.";
    TcpReceiveData = "tcp_connection" "receive_data" Flow "New in-order bytes of one direction.";
    TcpEndConnection = "tcp_connection" "end_connection" Flow "The connection ended.";
    TcpFlowSend = "tcp_connection" "send_packet" Flow "Inherited; never raised.";
    TcpFlowError = "tcp_connection" "protocol_error" Flow "Inherited; never raised.";
    TcpFlowNext = "tcp_connection" "policy:next_dissector" Flow "Chooses the dissector of the stream (`port`).";
    TcpNoConnection = "tcp_connection" "policy:no_connection_found" Packet "A segment that belongs to no known connection.";
    TcpUnexpected = "tcp_connection" "policy:unexpected_packet" Flow "A segment that the state machine does not expect.";
    UdpNewConnection = "udp_connection" "new_connection" Flow "The first datagram of a flow.";
    UdpReceivePacket = "udp_connection" "receive_packet" Flow "A datagram of a known flow arrived.";
    UdpReceiveData = "udp_connection" "receive_data" Flow "The payload of a datagram, with its packet.";
    UdpEndConnection = "udp_connection" "end_connection" Flow "The flow ended or was dropped.";
    UdpFlowNext = "udp_connection" "policy:next_dissector" Flow "Chooses the dissector of the flow (`port`).";
    HttpRequest = "http" "request" Flow "The head of a request is there; nothing of it has left yet.";
    HttpResponse = "http" "response" Flow "The head of a response is there; nothing of it has left yet.";
    HttpReceiveData = "http" "receive_data" Flow "Bytes of a body, of either direction.";
    HttpRequestData = "http" "request_data" Flow "Bytes of a request's body.";
    HttpResponseData = "http" "response_data" Flow "Bytes of a response's body.";
    HttpNext = "http" "policy:next_dissector" Flow "Inherited; never asked.";
    HttpAnomaly = "http" "policy:anomaly" Flow "Decides about a message that cannot be read, or in two ways (`anomaly`, `nature`).";
    SmtpCommand = "smtp" "command" Flow "A command of the client; it has not left yet.";
    SmtpResponse = "smtp" "response" Flow "A reply, with all its lines; it has not left yet.";
    SmtpMailContent = "smtp" "mail_content" Flow "Bytes of a mail, without the line with a dot that ends it.";
    SmtpAnomaly = "smtp" "anomaly" Flow "Something that no well-behaved peer sends.";
    FtpCommand = "ftp" "command" Flow "A command of the client; it has not left yet.";
    FtpResponse = "ftp" "response" Flow "A reply, with all its lines; it has not left yet.";
    FtpDataFlow = "ftp" "data_flow" Flow "Both sides agreed on a data connection, which is expected from now on.";
    FtpAnomaly = "ftp" "anomaly" Flow "Something that no well-behaved peer sends.";
    SshBanner = "ssh" "banner" Flow "The version of one side; it has not left yet.";
    SshAnomaly = "ssh" "anomaly" Flow "A side sent no version, or too long a one.";
    DnsQuery = "dns" "query" Flow "A query is there; nothing of it has left yet.";
    DnsResponse = "dns" "response" Flow "A response is there, with the query that it answers.";
    DnsNext = "dns" "policy:next_dissector" Flow "Inherited; never asked.";
    TlsClientHello = "tls" "client_hello" Flow "The client's hello is there; nothing of it has left yet.";
    TlsServerHello = "tls" "server_hello" Flow "The server's hello is there; nothing of it has left yet.";
    TlsCertificate = "tls" "certificate" Flow "A certificate message, up to TLS 1.2.";
    TlsAlert = "tls" "alert" Flow "An alert that is not encrypted.";
    TlsNext = "tls" "policy:next_dissector" Flow "Inherited; never asked.";
    TlsAnomaly = "tls" "policy:anomaly" Flow "Decides about a client's hello that cannot be read (`anomaly`).";
    QuicClientHello = "quic" "client_hello" Flow "The client's hello is whole; the datagram that completed it has not left yet.";
    QuicNext = "quic" "policy:next_dissector" Flow "Inherited; never asked.";
    Timer = "core" "timer" Script "A timer of a rule expired; the subject is its number.";
}

impl EventKind {
    /// The kind with that number, if there is one.
    pub fn from_number(number: u8) -> Option<EventKind> {
        EVENTS.get(number as usize).map(|row| row.kind)
    }

    /// The row of the table.
    pub fn row(self) -> &'static EventRow {
        &EVENTS[self as usize]
    }
}

/// Which events somebody hears: one bit per kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookSet(u128);

impl HookSet {
    pub fn set(&mut self, kind: EventKind, heard: bool) {
        let bit = 1u128 << kind as u8;
        if heard { self.0 |= bit } else { self.0 &= !bit }
    }

    #[inline(always)]
    pub fn hears(self, kind: EventKind) -> bool {
        self.0 & (1u128 << kind as u8) != 0
    }

    /// Whether any of the kinds is heard; `mask` comes from [`HookSet::mask`].
    #[inline(always)]
    pub fn hears_any(self, mask: u128) -> bool {
        self.0 & mask != 0
    }

    /// The bits of several kinds, for [`HookSet::hears_any`].
    pub const fn mask(kinds: &[EventKind]) -> u128 {
        let mut bits = 0;
        let mut i = 0;
        while i < kinds.len() {
            bits |= 1u128 << kinds[i] as u8;
            i += 1;
        }
        bits
    }
}

const _: () = assert!(EVENTS.len() <= 128, "HookSet holds one bit per event");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_number() {
        for (number, row) in EVENTS.iter().enumerate() {
            assert_eq!(row.kind as usize, number);
            assert_eq!(EventKind::from_number(number as u8), Some(row.kind));
        }
        assert_eq!(EventKind::from_number(EVENTS.len() as u8), None);
    }

    #[test]
    fn hook_set_remembers_each_kind() {
        let mut hooks = HookSet::default();
        hooks.set(EventKind::TcpReceive, true);
        hooks.set(EventKind::Timer, true);
        hooks.set(EventKind::TcpReceive, false);
        assert!(!hooks.hears(EventKind::TcpReceive));
        assert!(hooks.hears_any(HookSet::mask(&[EventKind::Timer, EventKind::UdpSend])));
    }
}
