//! Frames of any kind, and a device whose packets are a program's.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Sends a frame as it is.
pub fn send(interface: &str, frame: &[u8]) -> io::Result<usize> {
    let name = CString::new(interface)?;
    // SAFETY: numbers, a name that ends with a zero, and an address and bytes
    // with their lengths, all of which live until the calls return.
    unsafe {
        let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = OwnedFd::from_raw_fd(fd);
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = libc::if_nametoindex(name.as_ptr()) as i32;
        let sent = libc::sendto(
            fd.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        );
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// A device of IP packets: what is written arrives there.
pub fn tun(name: &str) -> io::Result<File> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: integers and bytes, for which zero is a value; the kernel reads
    // and writes the request of the size that it has.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (place, letter) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *place = letter as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
        if libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(device)
}
