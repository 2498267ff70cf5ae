//! Extractors inside encapsulations.
//!
//! Each combinator looks behind one kind of wrapping and gives what it finds
//! to the extractor inside. Those for tunnels answer only where there is such
//! a tunnel; those for tags and labels also where there is none, as links
//! carry both.

use super::{Extracted, FlowExtractor, Headers, PacketView, Transport};
use crate::packet::LinkType;
use crate::packet::decode::{self, Inner, TunnelKind};

/// Tunnels inside tunnels that [`AutoDetectEncap`] follows.
const MOST_TUNNELS: usize = 4;

/// Bytes of a VXLAN header (RFC 7348, 5), before the Ethernet frame in it.
const VXLAN_HEADER: usize = 8;

/// Looks behind VLAN tags, any number of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct StripVlan<E>(pub E);

impl<E: FlowExtractor> FlowExtractor for StripVlan<E> {
    type Key = E::Key;

    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, E::Key>> {
        let mut view = *view;
        view.passing.vlan = true;
        self.0.extract(&view)
    }
}

/// Looks behind MPLS labels, any number of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct StripMpls<E>(pub E);

impl<E: FlowExtractor> FlowExtractor for StripMpls<E> {
    type Key = E::Key;

    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, E::Key>> {
        let mut view = *view;
        view.passing.mpls = true;
        self.0.extract(&view)
    }
}

/// The Ethernet frames inside VXLAN.
#[derive(Clone, Copy, Debug)]
pub struct Vxlan<E> {
    inner: E,
    port: u16,
}

impl<E> Vxlan<E> {
    /// On port 4789.
    pub const fn new(inner: E) -> Vxlan<E> {
        Vxlan::on_port(inner, 4789)
    }

    pub const fn on_port(inner: E, port: u16) -> Vxlan<E> {
        Vxlan { inner, port }
    }
}

impl<E: FlowExtractor> FlowExtractor for Vxlan<E> {
    type Key = E::Key;

    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, E::Key>> {
        let headers = view.headers()?;
        self.inner.extract(&vxlan(view, &headers, self.port)?)
    }
}

/// The IP packets inside GTPv1-U.
#[derive(Clone, Copy, Debug)]
pub struct GtpU<E> {
    inner: E,
    port: u16,
}

impl<E> GtpU<E> {
    /// On port 2152.
    pub const fn new(inner: E) -> GtpU<E> {
        GtpU::on_port(inner, 2152)
    }

    pub const fn on_port(inner: E, port: u16) -> GtpU<E> {
        GtpU { inner, port }
    }
}

impl<E: FlowExtractor> FlowExtractor for GtpU<E> {
    type Key = E::Key;

    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, E::Key>> {
        let headers = view.headers()?;
        self.inner.extract(&gtpu(view, &headers, self.port)?)
    }
}

/// The packets inside GRE (RFC 2784, RFC 2890).
#[derive(Clone, Copy, Debug, Default)]
pub struct Gre<E>(pub E);

impl<E: FlowExtractor> FlowExtractor for Gre<E> {
    type Key = E::Key;

    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, E::Key>> {
        let headers = view.headers()?;
        self.0.extract(&gre(view, &headers)?)
    }
}

/// Looks behind whatever there is: tags, then labels, then VXLAN, GTP-U and
/// GRE, tunnels inside tunnels included. Each can be switched off; a packet
/// in a tunnel that is switched off belongs to the flow around it, and one
/// behind tags or labels that are belongs to none.
///
/// ```
/// use wero::analysis::extract::{AutoDetectEncap, FiveTuple};
///
/// let all = AutoDetectEncap::new(FiveTuple::bidirectional());
/// let without_gre = AutoDetectEncap { gre: false, ..all };
/// assert!(without_gre.vlan && !without_gre.gre);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AutoDetectEncap<E> {
    pub inner: E,
    pub vlan: bool,
    pub mpls: bool,
    pub vxlan: bool,
    pub gtp_u: bool,
    pub gre: bool,
}

impl<E> AutoDetectEncap<E> {
    /// With everything switched on.
    pub const fn new(inner: E) -> AutoDetectEncap<E> {
        AutoDetectEncap {
            inner,
            vlan: true,
            mpls: true,
            vxlan: true,
            gtp_u: true,
            gre: true,
        }
    }

    /// The packet inside this one, if there is one.
    fn inside<'a>(&self, view: &PacketView<'a>) -> Option<PacketView<'a>> {
        let headers = view.headers()?;
        let try_if = |wanted: bool, found: fn(&PacketView<'a>, &Headers) -> _| {
            wanted.then(|| found(view, &headers)).flatten()
        };
        try_if(self.vxlan, |view, headers| vxlan(view, headers, 4789))
            .or_else(|| try_if(self.gtp_u, |view, headers| gtpu(view, headers, 2152)))
            .or_else(|| try_if(self.gre, gre))
    }
}

impl<E: FlowExtractor> FlowExtractor for AutoDetectEncap<E> {
    type Key = E::Key;

    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, E::Key>> {
        let mut view = *view;
        view.passing.vlan |= self.vlan;
        view.passing.mpls |= self.mpls;
        for _ in 0..MOST_TUNNELS {
            match self.inside(&view) {
                Some(inside) => view = inside,
                None => break,
            }
        }
        self.inner.extract(&view)
    }
}

fn vxlan<'a>(view: &PacketView<'a>, headers: &Headers, port: u16) -> Option<PacketView<'a>> {
    let Transport::Udp(udp) = &headers.transport else {
        return None;
    };
    if udp.dst_port != port {
        return None;
    }
    let inner = decode::udp_tunnel(view.frame, &headers.ip, udp, TunnelKind::Vxlan)?;
    let start = udp.payload_at() + VXLAN_HEADER;
    let frame = view.frame.get(start..inner.end.min(view.frame.len()))?;
    Some(view.with_frame(frame).with_link(LinkType::ETHERNET))
}

fn gtpu<'a>(view: &PacketView<'a>, headers: &Headers, port: u16) -> Option<PacketView<'a>> {
    let Transport::Udp(udp) = &headers.transport else {
        return None;
    };
    if udp.dst_port != port && udp.src_port != port {
        return None;
    }
    let inner = decode::udp_tunnel(view.frame, &headers.ip, udp, TunnelKind::Gtpu)?;
    ip_inside(view, &inner)
}

fn gre<'a>(view: &PacketView<'a>, headers: &Headers) -> Option<PacketView<'a>> {
    let udp = match &headers.transport {
        Transport::Udp(udp) => Some(udp),
        _ => None,
    };
    let inner = decode::tunnel(view.frame, &headers.ip, udp)?;
    (inner.kind == TunnelKind::Gre).then(|| ip_inside(view, &inner))?
}

/// The IP packet inside a tunnel; its own tags and labels must be wanted.
fn ip_inside<'a>(view: &PacketView<'a>, inner: &Inner) -> Option<PacketView<'a>> {
    let below = &inner.below;
    let hidden =
        below.vlans.count() > 0 && !view.passing.vlan || below.mpls > 0 && !view.passing.mpls;
    if hidden {
        return None;
    }
    let frame = view.frame.get(below.at..inner.end.min(view.frame.len()))?;
    Some(view.with_frame(frame).with_link(LinkType::RAW))
}
