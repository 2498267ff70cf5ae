//! The two profiles and every default in which they differ.
//!
//! Profile `wero` lets a packet pass unless a rule, a policy of the user or
//! a declared stance refuses it. Profile `haka` follows Haka 0.4 to the
//! letter, because its rule files count on it. [`differences`] is the whole
//! list; nothing else in the code may ask which profile runs.

use std::time::Duration;

/// Which set of defaults applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    #[default]
    Wero,
    Haka,
}

/// How TCP, UDP and ICMP checksums are treated on arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksums {
    /// A wrong segment never enters a stream, unless the first segments of
    /// its sender are all wrong, or the first with data has only the sum of
    /// its pseudo header: then the capture was taken before offload filled
    /// them in, and they are used.
    #[default]
    Auto,
    /// A wrong segment never enters a stream.
    Verify,
    /// Checksums are not looked at.
    Ignore,
}

/// What happens to a flow's packets when one of its caps is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapPolicy {
    /// Let the packet go on, unjudged.
    Release,
    /// Drop the packet.
    Drop,
}

macro_rules! settings {
    ($($name:ident: $kind:ty = $wero:expr, $haka:expr, $doc:literal;)*) => {
        /// Settings of the engine whose defaults depend on the profile.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Defaults { $(#[doc = $doc] pub $name: $kind,)* }

        impl Defaults {
            fn of(profile: Profile) -> Defaults {
                match profile {
                    Profile::Wero => Defaults { $($name: $wero,)* },
                    Profile::Haka => Defaults { $($name: $haka,)* },
                }
            }
        }

        /// Name, value in `wero`, value in `haka`, meaning: the reference
        /// page and `wero doc profiles` print this.
        pub fn differences() -> Vec<(&'static str, String, String, &'static str)> {
            vec![$((stringify!($name), format!("{:?}", { let v: $kind = $wero; v }),
                    format!("{:?}", { let v: $kind = $haka; v }), $doc),)*]
        }
    };
}

settings! {
    drop_unknown_dissector: bool = false, true,
        "An IPv4 packet is dropped with an alert when no rule file loaded its dissector.";
    drop_malformed: bool = false, true,
        "A packet whose IP or TCP header cannot be read is dropped with an alert; otherwise it passes, counted.";
    drop_unknown_connection: bool = false, true,
        "A TCP segment of no known connection meets the policy `no_connection_found`, whose default drops with an alert; otherwise its connection is picked up mid-stream.";
    strict_handshake: bool = false, true,
        "A segment that the TCP state machine does not expect is dropped with an alert and ends the connection; otherwise it passes, counted.";
    close_on_error: bool = false, true,
        "A rule error in a connection closes it, so that its later packets are unknown; otherwise only the packet is refused.";
    segment_untouched: bool = false, true,
        "TCP packets longer than 1,500 bytes are cut even when no rule changed them.";
    plain_segments: bool = false, true,
        "Further pieces of a cut segment carry no TCP options and the IP identification 0.";
    plain_acknowledgements: bool = false, true,
        "Acknowledgements of an edited stream are moved by the size of the edits alone, and windows stay as they were; otherwise none passes what its sender sent, and windows keep their right edge.";
    validate_rst: bool = true, false,
        "An RST ends a connection only with the exact next sequence number (RFC 5961, 3.2); others pass without effect.";
    tcp_idle: Option<Duration> = Some(Duration::from_secs(3600)), None,
        "Idle time after which an established TCP connection ends.";
    network_ipv6: bool = true, false,
        "IPv6 packets have a dissector; otherwise they are an unknown protocol and pass.";
    warn_retransmissions: bool = false, true,
        "A repeated TCP segment is logged as a warning; otherwise at level debug.";
    http_lenient: bool = false, true,
        "HTTP whose framing is ambiguous is read as Haka reads it; otherwise its connection is dropped.";
    strict_dns: bool = false, true,
        "What the opener of a flow sends is a DNS query whatever it says of itself, and a response that no remembered query waits for is dropped with an alert; otherwise messages say what they are, and such a response is shown to rules without a query.";
    dns_udp_53_only: bool = false, true,
        "DNS is looked for on UDP port 53 alone; otherwise on TCP port 53, multicast DNS (5353) and LLMNR (5355) too.";
    dns_few_type_names: bool = false, true,
        "Types of DNS records that Haka had no name for are numbers in rules.";
    probe: bool = true, false,
        "On a port that no dissector is known for, one that a rule file asked for takes a connection whose first bytes it knows.";
    hold_limits: bool = true, false,
        "Inline, a segment that is held for too long leaves before it is judged, and senders are told of holes; otherwise it waits until it is judged.";
    log_location: bool = true, false,
        "Errors of rules are logged with the rule, the packet and the flow; otherwise in Haka's fixed texts.";
}

/// What the engine is told at its start. Sizes are bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub profile: Profile,
    pub defaults: Defaults,
    /// Rules see packets but cannot change them; verdicts are only counted.
    pub pass_through: bool,
    /// Packets come from a queue that waits for verdicts, and senders behind
    /// it for acknowledgements.
    pub live: bool,
    /// Packets come from a recording, whose receivers acknowledged what was
    /// sent to them then: acknowledgements count the bytes as they were before
    /// rules changed them, and leave counting what became of those.
    pub recorded: bool,
    pub checksums: Checksums,
    /// Rules see the packets inside tunnels instead of the outer ones.
    pub inspect_tunnels: bool,
    pub max_flows: u32,
    pub max_packets: u32,
    /// Out-of-order bytes and segments of one direction.
    pub reassembly_bytes: u32,
    pub reassembly_segments: u32,
    /// Bytes of one direction that readers may hold back.
    pub hold_bytes: u32,
    pub hold_policy: CapPolicy,
    /// Inline: how many full segments readers may hold back, and how long, in
    /// milliseconds. Their sender waits for acknowledgements meanwhile.
    pub hold_segments: u32,
    pub hold_time: u32,
    /// Inline: how long segments behind a hole, and what readers hold before
    /// it, wait for it to be filled where rules may edit what fills it, in
    /// milliseconds.
    pub hole_time: u32,
    /// Inline: how long the judged front of a segment waits for its end that
    /// readers hold, while nothing else arrives, in milliseconds.
    pub front_time: u32,
    /// Bytes of one line and of one head of HTTP.
    pub http_line_bytes: u32,
    pub http_head_bytes: u32,
    /// Headers of one message.
    pub http_headers: u32,
    /// Bytes that one body may have once its codings are undone.
    pub http_decoded_bytes: u32,
    /// Requests of one connection that wait for their answer.
    pub http_requests: u32,
    /// Packets may pass by us, as when the queue is full and open: bytes that
    /// their receiver has and we do not are then not waited for.
    pub passes_unseen: bool,
    /// For so long from the first packet on, connections whose beginning was
    /// not seen are followed, whatever the profile does later.
    pub grace: Duration,
    /// Bytes of both directions after which a flow passes unseen; 0 for never.
    pub bypass_bytes: u64,
    /// A TLS connection passes unseen once its handshake was judged.
    pub bypass_tls: bool,
    /// Judged bytes of one direction kept until they are acknowledged.
    pub kept_bytes: u32,
    /// What a rule that failed judged passes, judged by the other rules alone;
    /// otherwise it is dropped.
    pub pass_on_error: bool,
    /// A rule that was stopped so often at its time budget is taken out of
    /// service; 0 for never.
    pub max_overruns: u32,
    /// Timers that rules may run at a time.
    pub max_timers: u32,
    /// DNS queries that wait for their response; the oldest is given up.
    pub max_dns_queries: u32,
    /// Write the graphs of grammars and state machines as they are defined.
    pub dump_graphs: bool,
    /// Seeds the flow hash and the rules' random numbers.
    pub seed: u64,
}

impl Settings {
    /// Whether segments that are held have to keep a sender going.
    pub fn is_paced(&self) -> bool {
        self.live && self.defaults.hold_limits
    }

    pub fn new(profile: Profile) -> Settings {
        Settings {
            profile,
            defaults: Defaults::of(profile),
            pass_through: false,
            live: false,
            recorded: false,
            checksums: match profile {
                Profile::Wero => Checksums::Auto,
                Profile::Haka => Checksums::Ignore,
            },
            inspect_tunnels: false,
            max_flows: 1 << 20,
            max_packets: 1 << 16,
            reassembly_bytes: 4 << 20,
            reassembly_segments: 4096,
            hold_bytes: 16 << 20,
            hold_policy: CapPolicy::Release,
            hold_segments: 10,
            hold_time: 150,
            hole_time: 10_000,
            front_time: 5,
            http_line_bytes: 16 << 10,
            http_head_bytes: 64 << 10,
            http_headers: 200,
            http_requests: 64,
            http_decoded_bytes: 64 << 20,
            pass_on_error: false,
            max_overruns: 0,
            passes_unseen: true,
            grace: Duration::ZERO,
            bypass_bytes: 0,
            bypass_tls: false,
            kept_bytes: 1 << 20,
            dump_graphs: false,
            max_timers: 1 << 18,
            max_dns_queries: 10_000,
            seed: 0x5765_726f,
        }
    }
}
