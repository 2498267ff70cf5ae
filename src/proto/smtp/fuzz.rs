//! The fuzz body of both sessions: the parser's, and the one that the engine
//! reads with.

use super::parser::Parser;
use super::session::{Found, Session};
use crate::flow::Direction;
use crate::proto::parser::fuzz_session;

/// See [`fuzz_session`].
///
/// # Panics
/// When two ways of cutting the input give different messages or mails.
pub fn fuzz_smtp(data: &[u8]) {
    fuzz_session::<Parser>(data);
    assert_eq!(strict(data, 1), strict(data, usize::MAX));
}

/// What a strict session finds, mail by its bytes; input as of
/// [`fuzz_session`], without gaps and ends.
fn strict(data: &[u8], step: usize) -> (Vec<Found>, Vec<u8>) {
    let mut session = Session::strict();
    let mut unread: [Vec<u8>; 2] = Default::default();
    let (mut found, mut mail) = (Vec::new(), Vec::new());
    let mut rest = data;
    while let Some((&[head, tail], behind)) = rest.split_first_chunk::<2>() {
        let direction = Direction::BOTH[usize::from(head >> 7)];
        let len = usize::from(head & 0x7f) << 8 | usize::from(tail);
        let (piece, after) = behind.split_at(len.min(behind.len()));
        rest = after;
        for part in piece.chunks(step.min(piece.len().max(1))) {
            unread[direction.index()].extend_from_slice(part);
            read(&mut session, direction, &mut unread, &mut found, &mut mail);
        }
    }
    (found, mail)
}

/// Reads a direction as far as it goes, and the client's after a reply.
fn read(
    session: &mut Session,
    direction: Direction,
    unread: &mut [Vec<u8>; 2],
    found: &mut Vec<Found>,
    mail: &mut Vec<u8>,
) {
    loop {
        let bytes = &mut unread[direction.index()];
        let (used, what) = session.read(direction, bytes);
        let taken: Vec<u8> = bytes.drain(..used).collect();
        // What was told is told once, in the order of the bytes.
        while session.take_anomaly().is_some() {}
        match &what {
            Found::Wait | Found::Tls => return,
            Found::More | Found::Skipped | Found::Credentials => {}
            Found::Mail => mail.extend_from_slice(&taken),
            Found::MailEnd { end } => {
                let own = used.checked_sub(usize::from(*end));
                mail.extend_from_slice(&taken[..own.expect("the end was read at once")]);
                found.push(what.clone());
            }
            Found::Command(_) => found.push(what.clone()),
            Found::Response(_) => {
                found.push(what.clone());
                read(session, Direction::ToServer, unread, found, mail);
            }
        }
        let settled = matches!(what, Found::More | Found::Mail) && used == 0;
        if settled {
            return;
        }
    }
}
