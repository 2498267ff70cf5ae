//! Modules that rules `require` as `misc/…`: helpers that are no protocol.
//!
//! A row of [`MODULES`] is a module: its Lua chunk, which makes what rules
//! get at their first `require`, and the native functions that the chunk
//! finds in `host.misc`. Native functions take and give plain values, never
//! call Lua and hold nothing that rules could reach; what they need of the
//! outside world they ask of [`Surroundings`]. Not here: files, threads and
//! sockets (`worker`, `sink`).

pub mod asm;
pub mod crypto;
pub mod elasticsearch;
pub mod geoip;

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Lua, Table};

use crate::event::StoreRequest;

/// What modules may ask of the program.
pub trait Surroundings {
    /// The bytes of a file of data.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn data_file(&self, path: &str) -> io::Result<Arc<[u8]>>;
    /// Queues a request to a document store.
    fn store(&self, request: StoreRequest);
    /// Bytes that no other run and no other worker has.
    fn nonce(&self) -> [u8; 16];
}

/// Makes the table of native functions of one module.
type Native = fn(&Lua, &Rc<dyn Surroundings>) -> mlua::Result<Table>;

/// A helper module.
pub struct Misc {
    /// What rule files give to `require`; also the name of the chunk.
    pub require: &'static str,
    /// Where its native functions stand in `host.misc`.
    pub name: &'static str,
    /// Its Lua chunk: returns a function that gives the module.
    pub source: &'static str,
    native: Native,
}

/// Every helper module.
pub const MODULES: &[Misc] = &[
    Misc {
        require: "misc/asm",
        name: "asm",
        source: include_str!("asm/asm.lua"),
        native: asm::native,
    },
    Misc {
        require: "misc/crypto",
        name: "crypto",
        source: include_str!("crypto.lua"),
        native: crypto::native,
    },
    Misc {
        require: "misc/elasticsearch",
        name: "elasticsearch",
        source: include_str!("elasticsearch.lua"),
        native: elasticsearch::native,
    },
    Misc {
        require: "misc/geoip",
        name: "geoip",
        source: include_str!("geoip/geoip.lua"),
        native: geoip::native,
    },
];

/// The native functions of all modules, by module.
///
/// # Errors
/// When Lua is out of memory.
pub fn natives(lua: &Lua, surroundings: &Rc<dyn Surroundings>) -> mlua::Result<Table> {
    let all = lua.create_table()?;
    for module in MODULES {
        all.set(module.name, (module.native)(lua, surroundings)?)?;
    }
    Ok(all)
}
