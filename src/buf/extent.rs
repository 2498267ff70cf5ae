//! Extents: reference-counted byte blocks under everything editable.
//!
//! Storage comes in a few pooled sizes, from frames to the super-segments
//! that segmentation offload delivers; anything larger is allocated exactly.
//! In steady state a packet is stored without touching the system allocator.
//! A capture that fills storage of the largest size itself gives it away with
//! the packet in it and gets another ([`Block`]). The bytes keep their address
//! while they live.
//!
//! Bytes are counted by who made them. Those made by rules are capped. Those
//! of packets are not refused, since their sources are capped themselves;
//! the count serves to refuse rules that would hoard them.

use super::BufError;
use super::slab::{Key, Slab};

/// Holds any frame of an Ethernet without jumbo frames.
const FRAME: usize = 2 * 1024;
/// Holds the largest IP packet with what a capture puts before it.
pub const BLOCK: usize = 68 * 1024;
/// The pooled sizes, each with the free ones that are kept; more go back to
/// the allocator.
const POOLED: [(usize, usize); 4] = [(FRAME, 2048), (8 * 1024, 128), (24 * 1024, 64), (BLOCK, 64)];
/// Offsets inside an extent are 32 bits wide, with room for arithmetic.
const MAX_EXTENT: usize = i32::MAX as usize;

/// Names an extent; refused once the extent is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExtId(pub Key);

/// On whose account an extent's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Packet,
    Rule,
}

/// Storage of [`BLOCK`] bytes that a capture filled, and where in it the
/// packet is.
#[derive(Debug)]
pub struct Block {
    pub storage: Box<[u8]>,
    pub from: u32,
    pub len: u32,
}

struct Extent {
    storage: Box<[u8]>,
    from: u32,
    len: u32,
    refs: u32,
    owner: Owner,
}

/// The extents of one worker.
pub struct ExtentPool {
    extents: Slab<Extent>,
    /// Free storage of each pooled size.
    spare: [Vec<Box<[u8]>>; POOLED.len()],
    packet_bytes: usize,
    rule_bytes: usize,
    rule_cap: usize,
}

impl ExtentPool {
    /// An empty pool; rules may hold `rule_cap` bytes of storage in it.
    pub fn new(rule_cap: usize) -> Self {
        ExtentPool {
            extents: Slab::new(usize::MAX),
            spare: Default::default(),
            packet_bytes: 0,
            rule_bytes: 0,
            rule_cap,
        }
    }

    /// Changes how many bytes rules may hold. What they hold already stays.
    pub fn set_rule_cap(&mut self, bytes: usize) {
        self.rule_cap = bytes;
    }

    /// Stores a packet's bytes with one reference held by the caller. The
    /// id names nothing if the bytes exceed 2 GiB.
    pub fn alloc_packet(&mut self, bytes: &[u8]) -> ExtId {
        self.store(bytes, Owner::Packet).unwrap_or(ExtId(Key::NONE))
    }

    /// A copy of an extent on the packets' account, with one reference.
    pub fn copy(&mut self, ext: ExtId) -> ExtId {
        let Some(len) = self.extents.get(ext.0).map(|extent| extent.len as usize) else {
            return ExtId(Key::NONE);
        };
        let mut storage = self.storage(len);
        if let Some(target) = storage.get_mut(..len) {
            target.copy_from_slice(self.bytes(ext));
        }
        self.adopt(storage, 0, len, Owner::Packet)
            .unwrap_or(ExtId(Key::NONE))
    }

    /// Stores bytes on the rules' account, with one reference.
    pub fn alloc_rule(&mut self, bytes: &[u8]) -> Result<ExtId, BufError> {
        self.room_for_rule(bytes.len())?;
        self.store(bytes, Owner::Rule).ok_or(BufError::Memory)
    }

    /// `len` zero bytes on the rules' account, with one reference.
    pub fn alloc_zero(&mut self, len: usize) -> Result<ExtId, BufError> {
        self.room_for_rule(len)?;
        let mut storage = self.storage(len);
        storage.get_mut(..len).ok_or(BufError::Internal)?.fill(0);
        self.adopt(storage, 0, len, Owner::Rule)
            .ok_or(BufError::Memory)
    }

    fn store(&mut self, bytes: &[u8], owner: Owner) -> Option<ExtId> {
        if bytes.len() > MAX_EXTENT {
            return None;
        }
        let mut storage = self.storage(bytes.len());
        storage.get_mut(..bytes.len())?.copy_from_slice(bytes);
        self.adopt(storage, 0, bytes.len(), owner)
    }

    /// Takes a filled block over, with one reference held by the caller. The
    /// id names nothing if the packet does not lie inside the block.
    pub fn take_block(&mut self, block: Block) -> ExtId {
        let (from, len) = (block.from as usize, block.len as usize);
        let inside = from.saturating_add(len) <= block.storage.len();
        inside
            .then(|| self.adopt(block.storage, block.from, len, Owner::Packet))
            .flatten()
            .unwrap_or(ExtId(Key::NONE))
    }

    /// An empty block for a capture to fill.
    pub fn spare_block(&mut self) -> Box<[u8]> {
        self.storage(BLOCK)
    }

    fn room_for_rule(&self, len: usize) -> Result<(), BufError> {
        let size = storage_size(len);
        if len > MAX_EXTENT || self.rule_bytes.saturating_add(size) > self.rule_cap {
            return Err(BufError::Memory);
        }
        Ok(())
    }

    fn storage(&mut self, len: usize) -> Box<[u8]> {
        let size = storage_size(len);
        let spare = self.spares(size).and_then(|(spare, _)| spare.pop());
        spare.unwrap_or_else(|| vec![0; size].into_boxed_slice())
    }

    /// Free storage of a pooled size, and how much of it is kept.
    fn spares(&mut self, size: usize) -> Option<(&mut Vec<Box<[u8]>>, usize)> {
        let class = POOLED.iter().position(|&(pooled, _)| pooled == size)?;
        Some((self.spare.get_mut(class)?, POOLED.get(class)?.1))
    }

    fn adopt(&mut self, storage: Box<[u8]>, from: u32, len: usize, owner: Owner) -> Option<ExtId> {
        let size = storage.len();
        let id = self.extents.insert(Extent {
            storage,
            from,
            len: len as u32,
            refs: 1,
            owner,
        })?;
        *self.account(owner) += size;
        Some(ExtId(id))
    }

    fn account(&mut self, owner: Owner) -> &mut usize {
        match owner {
            Owner::Packet => &mut self.packet_bytes,
            Owner::Rule => &mut self.rule_bytes,
        }
    }

    /// Adds a reference. False when the extent is gone.
    pub fn retain(&mut self, ext: ExtId) -> bool {
        self.extents
            .get_mut(ext.0)
            .map(|extent| extent.refs += 1)
            .is_some()
    }

    /// Gives a reference back; the last one frees the bytes.
    pub fn release(&mut self, ext: ExtId) {
        let Some(extent) = self.extents.get_mut(ext.0) else {
            return;
        };
        extent.refs -= 1;
        if extent.refs > 0 {
            return;
        }
        let Some(extent) = self.extents.remove(ext.0.index) else {
            return;
        };
        *self.account(extent.owner) -= extent.storage.len();
        if let Some((spare, most)) = self.spares(extent.storage.len())
            && spare.len() < most
        {
            spare.push(extent.storage);
        }
    }

    /// The bytes; empty when the extent is gone.
    #[inline]
    pub fn bytes(&self, ext: ExtId) -> &[u8] {
        self.extents
            .get(ext.0)
            .and_then(|extent| {
                let bytes = extent.storage.get(extent.from as usize..)?;
                bytes.get(..extent.len as usize)
            })
            .unwrap_or(&[])
    }

    /// The bytes for writing in place; empty when the extent is gone.
    #[inline]
    pub fn bytes_mut(&mut self, ext: ExtId) -> &mut [u8] {
        self.extents
            .get_mut(ext.0)
            .and_then(|extent| {
                let bytes = extent.storage.get_mut(extent.from as usize..)?;
                bytes.get_mut(..extent.len as usize)
            })
            .unwrap_or(&mut [])
    }

    /// Address of the first byte, stable while a reference is held.
    pub fn ptr(&self, ext: ExtId) -> *const u8 {
        self.bytes(ext).as_ptr()
    }

    /// Bytes of storage held on an account, rounded up to block sizes.
    pub fn held(&self, owner: Owner) -> usize {
        match owner {
            Owner::Packet => self.packet_bytes,
            Owner::Rule => self.rule_bytes,
        }
    }

    /// Extents alive.
    pub fn live(&self) -> usize {
        self.extents.len()
    }
}

fn storage_size(len: usize) -> usize {
    let fits = POOLED.iter().find(|&&(size, _)| len <= size);
    fits.map_or(len, |&(size, _)| size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_storage_is_reused() {
        let mut pool = ExtentPool::new(0);
        let first = pool.alloc_packet(b"first");
        let address = pool.ptr(first);
        pool.release(first);
        let second = pool.alloc_packet(&[7; 1500]);
        assert_eq!(pool.ptr(second), address);
        assert_eq!(pool.bytes(first), b"", "a stale id reads nothing");
        assert_eq!(pool.bytes(second), [7; 1500]);
    }

    #[test]
    fn a_block_is_taken_over_where_it_is() {
        let mut pool = ExtentPool::new(0);
        let mut storage = pool.spare_block();
        storage[100..103].copy_from_slice(b"abc");
        let address = storage[100..].as_ptr();
        let (from, len) = (100, 3);
        let ext = pool.take_block(Block { storage, from, len });
        assert_eq!((pool.bytes(ext), pool.ptr(ext)), (&b"abc"[..], address));
        pool.bytes_mut(ext)[0] = b'x';
        assert_eq!(pool.bytes(ext), b"xbc");
        pool.release(ext);
        assert_eq!(pool.spare_block()[100..].as_ptr(), address);
        let storage = pool.spare_block();
        let from = storage.len() as u32;
        let beyond = pool.take_block(Block { storage, from, len });
        assert_eq!(pool.bytes(beyond), b"");
    }

    #[test]
    fn storage_is_not_much_more_than_what_it_holds() {
        let mut pool = ExtentPool::new(0);
        for (len, most) in [
            (1, 2048),
            (1500, 2048),
            (4000, 8192),
            (20_000, 24_576),
            (65_000, BLOCK),
        ] {
            let ext = pool.alloc_packet(&vec![1; len]);
            assert_eq!(pool.held(Owner::Packet), most, "{len}");
            pool.release(ext);
        }
    }

    #[test]
    fn references_keep_bytes() {
        let mut pool = ExtentPool::new(0);
        let ext = pool.alloc_packet(&[1; 70_000]);
        assert!(pool.retain(ext));
        pool.release(ext);
        assert_eq!(pool.bytes(ext).len(), 70_000);
        assert_eq!(pool.held(Owner::Packet), 70_000);
        pool.release(ext);
        assert_eq!((pool.live(), pool.held(Owner::Packet)), (0, 0));
        assert!(!pool.retain(ext));
    }

    #[test]
    fn rules_are_capped_and_packets_are_not() {
        let mut pool = ExtentPool::new(FRAME);
        let ext = pool.alloc_rule(b"x").unwrap();
        assert_eq!(pool.alloc_zero(1), Err(BufError::Memory));
        assert!(!pool.alloc_packet(&[0; 9000]).0.is_none());
        pool.release(ext);
        assert!(pool.alloc_zero(1).is_ok());
    }

    #[test]
    fn zeroed_extents_show_nothing_of_earlier_ones() {
        let mut pool = ExtentPool::new(1 << 20);
        let ext = pool.alloc_packet(&[0xff; 64]);
        pool.release(ext);
        let zero = pool.alloc_zero(64).unwrap();
        assert_eq!(pool.bytes(zero), [0; 64]);
    }
}
