//! Frames that left, read without the library under test.
//!
//! Offsets are those of an untagged Ethernet frame around IPv4.

const IP: usize = 14;

/// One Ethernet frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet(pub Vec<u8>);

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl Packet {
    pub fn is_ipv4(&self) -> bool {
        self.u16(12) == 0x0800
    }

    pub fn byte(&self, at: usize) -> u8 {
        self.0[at]
    }

    pub fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) << 16 | u32::from(self.u16(at + 2))
    }

    pub fn ip_len(&self) -> usize {
        self.u16(IP + 2).into()
    }

    pub fn ip_id(&self) -> u16 {
        self.u16(IP + 4)
    }

    pub fn more_fragments(&self) -> bool {
        self.byte(IP + 6) & 0x20 != 0
    }

    /// In units of eight bytes.
    pub fn fragment_offset(&self) -> u16 {
        self.u16(IP + 6) & 0x1fff
    }

    pub fn ttl(&self) -> u8 {
        self.byte(IP + 8)
    }

    pub fn protocol(&self) -> u8 {
        self.byte(IP + 9)
    }

    pub fn src(&self) -> [u8; 4] {
        *self.0[IP + 12..].first_chunk().expect("a whole header")
    }

    pub fn dst(&self) -> [u8; 4] {
        *self.0[IP + 16..].first_chunk().expect("a whole header")
    }

    /// What follows the IP header, without padding.
    pub fn ip_payload(&self) -> &[u8] {
        &self.0[self.transport()..IP + self.ip_len()]
    }

    pub fn src_port(&self) -> u16 {
        self.u16(self.transport())
    }

    pub fn dst_port(&self) -> u16 {
        self.u16(self.transport() + 2)
    }

    pub fn seq(&self) -> u32 {
        self.u32(self.transport() + 4)
    }

    pub fn ack(&self) -> u32 {
        self.u32(self.transport() + 8)
    }

    pub fn tcp_flags(&self) -> u8 {
        self.byte(self.transport() + 13)
    }

    pub fn tcp_header(&self) -> &[u8] {
        &self.ip_payload()[..usize::from(self.byte(self.transport() + 12) >> 4) * 4]
    }

    pub fn tcp_data(&self) -> &[u8] {
        &self.ip_payload()[self.tcp_header().len()..]
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.tcp_data()).into_owned()
    }

    pub fn header_checksum_is_right(&self) -> bool {
        sum(&self.0[IP..self.transport()]) == 0xffff
    }

    pub fn transport_checksum_is_right(&self) -> bool {
        let payload = self.ip_payload();
        if self.protocol() == 1 {
            return sum(payload) == 0xffff;
        }
        let mut covered = self.0[IP + 12..IP + 20].to_vec();
        covered.extend([0, self.protocol()]);
        covered.extend((payload.len() as u16).to_be_bytes());
        covered.extend(payload);
        sum(&covered) == 0xffff
    }

    fn transport(&self) -> usize {
        IP + usize::from(self.byte(IP) & 15) * 4
    }
}

/// The sum of RFC 1071, carries folded in.
fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for word in bytes.chunks(2) {
        sum += u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
