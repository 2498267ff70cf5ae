//! The fuzz bodies by name; shared by the driver and the test of the corpus.

/// A body: panics when the code under it breaks its word.
pub type Body = fn(&[u8]);

/// One folder of `fuzz/corpus` each.
pub const TARGETS: &[(&str, Body)] = &[
    ("decode", decode),
    ("capture", wero::capture::file::fuzz_reader),
    #[cfg(target_os = "linux")]
    ("nfqueue", wero::capture::nfqueue::message::fuzz_messages),
    ("pattern", wero::lua::pattern::fuzz_pattern),
    ("buffer", wero::buf::fuzz::fuzz_buffer),
    ("tcp", wero::engine::fuzz::fuzz_tcp),
    ("icmp", wero::proto::ip::related::fuzz_quotation),
    ("smtp", wero::proto::smtp::fuzz::fuzz_smtp),
    ("ftp", wero::proto::ftp::fuzz::fuzz_ftp),
    ("ssh", wero::proto::ssh::fuzz::fuzz_ssh),
    ("tls", wero::proto::tls::fuzz::fuzz_tls),
    ("quic", wero::proto::quic::fuzz::fuzz_quic),
    ("dns", wero::proto::dns::fuzz::fuzz_dns),
    ("http", wero::proto::http::fuzz::fuzz_http),
];

/// The first byte chooses the link type: Ethernet, raw IP, cooked, loopback.
fn decode(data: &[u8]) {
    const LINKS: [u16; 5] = [1, 101, 113, 276, 0];
    if let Some((&link, frame)) = data.split_first() {
        wero::packet::decode::fuzz_decode(LINKS[usize::from(link) % LINKS.len()], frame);
    }
}
