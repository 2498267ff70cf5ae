//! The headers of a frame with their offsets and main fields.
//!
//! Reads the frame anew, with the decoders that the engine uses and the field
//! tables that rules see, so that the names are those of the rule language.

use serde::{Serialize, Serializer};

use crate::addr::Addr;
use crate::packet::decode::{self, IpHeader, Network, protocol};
use crate::packet::{LinkType, Malformed};
use crate::proto::PROTOCOLS;
use crate::proto::field::{Field, Shape};

/// Tunnels inside tunnels that are followed, as the engine does.
const MAX_TUNNELS: usize = 8;
/// Bytes of a payload that are shown.
const SHOWN: usize = 48;

/// One header, or the payload behind the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    pub name: &'static str,
    /// Bytes from the start of the frame.
    pub offset: usize,
    pub length: usize,
    #[serde(serialize_with = "as_map")]
    pub fields: Vec<(String, String)>,
}

/// A frame taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Layers {
    pub layers: Vec<Layer>,
    /// Why it goes no further.
    pub malformed: Option<String>,
}

impl Layers {
    /// Takes a frame apart. `wire_len` is its length before it was cut.
    pub fn of(link: LinkType, frame: &[u8], wire_len: usize) -> Layers {
        let mut layers = Layers::default();
        if let Err(malformed) = layers.walk(link, frame, wire_len) {
            layers.malformed = Some(malformed.to_string());
        }
        layers
    }

    fn walk(&mut self, link: LinkType, frame: &[u8], wire_len: usize) -> Result<(), Malformed> {
        let below = decode::link(link, frame)?;
        let mut fields = Vec::new();
        if let Network::Other(ethertype) = below.network {
            fields.push(("type".to_owned(), format!("0x{ethertype:04x}")));
        }
        for id in below.vlans.ids() {
            fields.push(("vlan".to_owned(), id.to_string()));
        }
        if below.mpls > 0 {
            fields.push(("mpls_labels".to_owned(), below.mpls.to_string()));
        }
        self.add(link_name(link), 0, below.at, fields);
        let original = (wire_len > frame.len()).then_some(wire_len);
        let Some(mut ip) = below.ip_header(frame, original).transpose()? else {
            self.payload(frame, below.at, frame.len());
            return Ok(());
        };
        let mut frame = frame;
        for _ in 0..=MAX_TUNNELS {
            self.network(frame, &ip);
            let later = ip.fragment.is_some_and(|fragment| !fragment.is_atomic());
            if later {
                self.payload(frame, ip.payload_at(), ip.end);
                return Ok(());
            }
            let udp = (ip.protocol == protocol::UDP)
                .then(|| decode::udp(frame, ip.payload_at(), ip.end).ok())
                .flatten();
            let Some(inner) = decode::tunnel(frame, &ip, udp.as_ref()) else {
                return self.transport(frame, &ip);
            };
            let from = ip.payload_at();
            self.add(inner.kind.name(), from, inner.below.at - from, Vec::new());
            frame = frame.get(..inner.end).unwrap_or(frame);
            match inner.below.ip_header(frame, None).transpose()? {
                Some(header) => ip = header,
                None => break,
            }
        }
        Ok(())
    }

    fn network(&mut self, frame: &[u8], ip: &IpHeader) {
        let name = if ip.version == 6 { "ipv6" } else { "ipv4" };
        let mut fields = fields_of(name, frame, ip.at);
        if ip.version == 6
            && let Some(fragment) = ip.fragment
        {
            fields.push(("fragment_offset".to_owned(), fragment.offset.to_string()));
            fields.push(("more_fragments".to_owned(), fragment.more.to_string()));
        }
        self.add(name, ip.at, ip.header_len, fields);
    }

    fn transport(&mut self, frame: &[u8], ip: &IpHeader) -> Result<(), Malformed> {
        let (at, end) = (ip.payload_at(), ip.end);
        let (name, payload_at) = match ip.protocol {
            protocol::TCP => ("tcp", decode::tcp(frame, at, end)?.payload_at),
            protocol::UDP => {
                decode::udp(frame, at, end)?;
                ("udp", at + 8)
            }
            protocol::ICMP => {
                decode::icmp(frame, at, end)?;
                ("icmp", at + 4)
            }
            protocol::ICMPV6 => {
                decode::icmpv6(frame, at, end)?;
                ("icmpv6", at + 4)
            }
            _ => {
                self.payload(frame, at, end);
                return Ok(());
            }
        };
        self.add(name, at, payload_at - at, fields_of(name, frame, at));
        self.payload(frame, payload_at, end);
        Ok(())
    }

    /// What the last header carries, if anything; its beginning as text.
    fn payload(&mut self, frame: &[u8], from: usize, to: usize) {
        let Some(bytes) = frame.get(from..to.min(frame.len())) else {
            return;
        };
        if bytes.is_empty() {
            return;
        }
        let shown = bytes.get(..SHOWN.min(bytes.len())).unwrap_or_default();
        let more = if bytes.len() > SHOWN { "..." } else { "" };
        let text = format!("\"{}\"{more}", shown.escape_ascii());
        self.add(
            "payload",
            from,
            bytes.len(),
            vec![("text".to_owned(), text)],
        );
    }

    fn add(
        &mut self,
        name: &'static str,
        offset: usize,
        length: usize,
        fields: Vec<(String, String)>,
    ) {
        self.layers.push(Layer {
            name,
            offset,
            length,
            fields,
        });
    }
}

/// Fields as an object, in their order in the header.
fn as_map<S: Serializer>(fields: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(name, value)| (name, value)))
}

/// The fields of a header, by the table that rules see. Flags that are set
/// stand together.
fn fields_of(protocol: &str, frame: &[u8], at: usize) -> Vec<(String, String)> {
    let table = PROTOCOLS.iter().find(|row| row.name == protocol);
    let mut fields: Vec<(String, String)> = Vec::new();
    for field in table.map_or(&[][..], |row| row.fields) {
        let Some(value) = value_of(field, frame, at) else {
            continue;
        };
        match (field.name.split_once('.'), field.shape) {
            (Some((group, name)), Shape::Flag { .. }) => {
                let place = fields.iter().position(|(known, _)| known == group);
                let place = place.unwrap_or_else(|| {
                    fields.push((group.to_owned(), String::new()));
                    fields.len() - 1
                });
                if value != "0"
                    && let Some((_, list)) = fields.get_mut(place)
                {
                    if !list.is_empty() {
                        list.push(',');
                    }
                    list.push_str(name);
                }
            }
            // All flags as a number say the same again.
            (Some(_), _) => {}
            (None, _) => fields.push((field.name.to_owned(), value)),
        }
    }
    fields.retain(|(_, value)| !value.is_empty());
    fields
}

fn value_of(field: &Field, frame: &[u8], at: usize) -> Option<String> {
    let from = at + field.offset as usize;
    let bytes = frame.get(from..from + field.width as usize)?;
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0u32, |sum, &byte| sum << 8 | u32::from(byte))
    };
    Some(match field.shape {
        Shape::Number { mask, shift, unit } => {
            (((number(bytes) & mask) >> shift) * unit).to_string()
        }
        Shape::Flag { mask } => u8::from(number(bytes) & mask != 0).to_string(),
        Shape::Address { .. } => match (bytes.first_chunk::<4>(), bytes.first_chunk::<16>()) {
            (_, Some(v6)) => Addr::v6(*v6).to_string(),
            (Some(v4), None) => Addr::v4(*v4).to_string(),
            _ => return None,
        },
    })
}

fn link_name(link: LinkType) -> &'static str {
    match link {
        LinkType::ETHERNET => "ethernet",
        LinkType::RAW
        | LinkType::RAW_BSD
        | LinkType::RAW_OPENBSD
        | LinkType::IPV4
        | LinkType::IPV6 => "raw",
        LinkType::LINUX_SLL | LinkType::LINUX_SLL2 => "linux_sll",
        LinkType::NULL | LinkType::LOOP => "loopback",
        LinkType::PPP | LinkType::PPP_HDLC | LinkType::C_HDLC => "ppp",
        LinkType::FDDI => "fddi",
        LinkType::NFLOG => "nflog",
        LinkType::IPOIB => "IP over InfiniBand",
        _ => "link",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A UDP datagram from 10.0.0.1:1 to 10.0.0.2:2, `hi`, in raw IP.
    fn datagram() -> Vec<u8> {
        let mut bytes = vec![
            0x45, 0, 0, 30, 0, 7, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        bytes.extend([0, 1, 0, 2, 0, 10, 0, 0, b'h', b'i']);
        bytes
    }

    #[test]
    fn headers_stand_with_offsets_and_fields() {
        let layers = Layers::of(LinkType::RAW, &datagram(), 30);
        assert_eq!(layers.malformed, None);
        let places: Vec<_> = layers
            .layers
            .iter()
            .map(|layer| (layer.name, layer.offset, layer.length))
            .collect();
        assert_eq!(
            places,
            [
                ("raw", 0, 0),
                ("ipv4", 0, 20),
                ("udp", 20, 8),
                ("payload", 28, 2)
            ]
        );
        let field = |layer: usize, name: &str| {
            let fields = &layers.layers[layer].fields;
            fields
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(field(1, "src"), Some("10.0.0.1"));
        assert_eq!(field(1, "flags"), Some("df"));
        assert_eq!(field(2, "dstport"), Some("2"));
        assert_eq!(field(3, "text"), Some("\"hi\""));
    }

    #[test]
    fn a_fault_names_its_layer_and_place() {
        let mut bytes = datagram();
        bytes.truncate(24);
        let layers = Layers::of(LinkType::RAW, &bytes, 24);
        let fault = layers.malformed.expect("the length field lies");
        assert!(fault.contains("header at byte 0"), "{fault}");
    }
}
