//! Where a data connection will be, as `PORT`, `EPRT` and the answers to
//! `PASV` and `EPSV` say it.

use std::net::{IpAddr, Ipv4Addr};

pub use crate::proto::dialogue::{DataFlow, Mode};
use crate::proto::line;

/// What a line says of a data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Nothing,
    Flow(DataFlow),
    /// It should name one, and does not.
    Invalid,
}

impl Told {
    fn of(mode: Mode, address: Option<(Option<IpAddr>, u16)>) -> Told {
        match address {
            Some((ip, port)) if port > 0 => Told::Flow(DataFlow { mode, ip, port }),
            _ => Told::Invalid,
        }
    }
}

/// What a command says: `PORT` and `EPRT` name the client's address.
pub fn of_command(text: &[u8]) -> Told {
    let (verb, parameter) = line::command_line(text);
    let parameter = parameter.unwrap_or_default();
    if verb.eq_ignore_ascii_case(b"PORT") {
        Told::of(Mode::Active, six_numbers(parameter))
    } else if verb.eq_ignore_ascii_case(b"EPRT") {
        let address = extended(parameter).filter(|(ip, _)| ip.is_some());
        Told::of(Mode::Active, address)
    } else {
        Told::Nothing
    }
}

/// What a reply's text says: 227 and 229 name the server's address.
pub fn of_reply(code: u16, text: &[u8]) -> Told {
    match code {
        227 => {
            // RFC 1123, 4.1.2.6: search for the first digit.
            let first = text.iter().position(u8::is_ascii_digit);
            let numbers = first.and_then(|at| text.get(at..));
            Told::of(Mode::Passive, numbers.and_then(six_numbers))
        }
        229 => {
            let inner = text
                .iter()
                .position(|&byte| byte == b'(')
                .and_then(|at| text.get(at + 1..));
            Told::of(Mode::Passive, inner.and_then(extended))
        }
        _ => Told::Nothing,
    }
}

/// `h1,h2,h3,h4,p1,p2`; what follows is not looked at.
fn six_numbers(text: &[u8]) -> Option<(Option<IpAddr>, u16)> {
    let mut numbers = [0; 6];
    let mut rest = text;
    for (at, number) in numbers.iter_mut().enumerate() {
        if at > 0 {
            rest = rest.strip_prefix(b",")?;
        }
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (own, behind) = rest.split_at(digits);
        *number = u8::try_from(decimal(own)?).ok()?;
        rest = behind;
    }
    let [a, b, c, d, high, low] = numbers;
    let ip = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    Some((Some(ip), u16::from_be_bytes([high, low])))
}

/// `|protocol|address|port|` with any delimiter (RFC 2428, 2).
fn extended(text: &[u8]) -> Option<(Option<IpAddr>, u16)> {
    let (delimiter, rest) = text.split_first()?;
    if !delimiter.is_ascii_graphic() || delimiter.is_ascii_digit() {
        return None;
    }
    let mut parts = rest.split(|byte| byte == delimiter);
    let (family, address, port) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next()?;
    let ip = if address.is_empty() {
        None
    } else {
        let ip: IpAddr = std::str::from_utf8(address).ok()?.parse().ok()?;
        let as_said = match family {
            b"1" => ip.is_ipv4(),
            b"2" => ip.is_ipv6(),
            _ => false,
        };
        Some(ip).filter(|_| as_said).map(Some)?
    };
    Some((ip, u16::try_from(decimal(port)?).ok()?))
}

fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum, digit: &u8| sum * 10 + u32::from(digit - b'0');
    Some(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(told: Told) -> Option<(Mode, String, u16)> {
        match told {
            Told::Flow(flow) => {
                let ip = flow.ip.map_or(String::new(), |ip| ip.to_string());
                Some((flow.mode, ip, flow.port))
            }
            _ => None,
        }
    }

    #[test]
    fn addresses_are_read() {
        let active = |ip: &str, port| Some((Mode::Active, ip.to_owned(), port));
        let passive = |ip: &str, port| Some((Mode::Passive, ip.to_owned(), port));
        assert_eq!(
            flow(of_command(b"PORT 10,0,0,1,4,1")),
            active("10.0.0.1", 1025)
        );
        assert_eq!(
            flow(of_command(b"eprt |2|2001:db8::1|5282|")),
            active("2001:db8::1", 5282)
        );
        assert_eq!(
            flow(of_command(b"EPRT !1!10.0.0.1!5282!")),
            active("10.0.0.1", 5282)
        );
        let entering = b"Entering Passive Mode (192,168,1,2,197,143).";
        assert_eq!(flow(of_reply(227, entering)), passive("192.168.1.2", 50575));
        assert_eq!(
            flow(of_reply(227, b"Entering Passive Mode 1,2,3,4,5,6")),
            passive("1.2.3.4", 1286)
        );
        let extended = b"Entering Extended Passive Mode (|||6446|)";
        assert_eq!(flow(of_reply(229, extended)), passive("", 6446));
    }

    #[test]
    fn other_lines_name_none() {
        assert_eq!(of_command(b"RETR PORT"), Told::Nothing);
        assert_eq!(of_reply(226, b"1,2,3,4,5,6"), Told::Nothing);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "PORT",
            "PORT 1,2,3,4,5",
            "PORT 1,2,3,4,0,0",
            "PORT 1,2,3,4,5,256",
            "PORT 1,,3,4,5,6",
            "EPRT |1|2001:db8::1|80|",
            "EPRT |3|10.0.0.1|80|",
            "EPRT |1|10.0.0.1|80",
            "EPRT |1||80|",
            "EPRT |1|10.0.0.1|65536|",
        ] {
            assert_eq!(of_command(bad.as_bytes()), Told::Invalid, "{bad}");
        }
        assert_eq!(of_reply(227, b"no"), Told::Invalid);
        assert_eq!(of_reply(229, b"(|||x|)"), Told::Invalid);
    }
}
