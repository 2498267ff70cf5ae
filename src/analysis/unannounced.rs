//! In the place of `announced` where the build leaves FTP out: no connection
//! announces another.

use super::Endpoint;
use super::flows::Sighting;
use crate::flow::Direction;
use crate::packet::decode::TunnelKind;
use crate::time::Timestamp;

pub const NAME: &str = "ftp-data";

#[derive(Default)]
pub struct Announced;

impl Announced {
    pub fn opens(&mut self, _: &Sighting<'_>) -> bool {
        false
    }
}

pub struct Control;

impl Control {
    pub fn of(_: [Endpoint; 2]) -> Option<Box<Control>> {
        None
    }

    pub fn read(
        &mut self,
        _: Direction,
        _: &[u8],
        _: u64,
        _: Timestamp,
        _: (&[u16], &[TunnelKind]),
        _: &mut Announced,
    ) {
    }
}
