//! Machine code as text, for `misc/asm`: single instructions by Capstone.
//!
//! Without the cargo feature `disassembler` the module says so when it is
//! required. A decoder for each architecture, mode and syntax is made at its
//! first use and shared; there are few, so none is ever freed. Not here:
//! where the bytes come from, waiting for more, what is skipped (`asm.lua`).

use std::rc::Rc;

use mlua::{Lua, Table};

use super::Surroundings;

/// `check(arch, mode)`: nothing, or what is not supported. `decode(arch,
/// mode, att, bytes, address)`: number, length, mnemonic and operands of the
/// instruction that the bytes begin with, or nil. `constants`: `CS_…` names.
///
/// # Errors
/// When Lua is out of memory.
#[cfg(feature = "disassembler")]
pub fn native(lua: &Lua, _: &Rc<dyn Surroundings>) -> mlua::Result<Table> {
    capstone::native(lua)
}

/// Nothing: the Lua side takes it for a build without a disassembler.
///
/// # Errors
/// When Lua is out of memory.
#[cfg(not(feature = "disassembler"))]
pub fn native(lua: &Lua, _: &Rc<dyn Surroundings>) -> mlua::Result<Table> {
    lua.create_table()
}

#[cfg(feature = "disassembler")]
mod capstone;
