//! Countries of addresses, for `misc/geoip`.
//!
//! Reads MaxMind DB files (`.mmdb`) and the older GeoIP country databases
//! (`legacy`), of both families. A worker opens each path once, however often
//! rules do, and keeps it to the end. What a file says is checked at every
//! lookup: of a damaged one some addresses have no country.

mod legacy;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;

use maxminddb::{MaxMindDbError, PathElement, Reader};
use mlua::{Lua, Table, Value};
use serde_json::Value as Json;

use super::Surroundings;
use legacy::Legacy;

/// Databases that the rules of one worker may have open.
const MAX_OPEN: usize = 16;

/// Values of one record that rules get to see, tables included.
const MAX_VALUES: usize = 512;

/// Ends the tree and data of a MaxMind DB file; its metadata follow.
const MAXMIND: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// How far from the end of the file that can be.
const MAXMIND_TAIL: usize = 128 << 10;

type Bytes = Arc<[u8]>;

enum Database {
    Legacy(Legacy),
    MaxMind(Box<Reader<Bytes>>),
}

impl Database {
    fn read(bytes: Bytes) -> Result<Database, String> {
        let tail = bytes.len().saturating_sub(MAXMIND_TAIL);
        let tail = bytes.get(tail..).unwrap_or_default();
        if memchr::memmem::find(tail, MAXMIND).is_none() {
            return Legacy::read(bytes).map(Database::Legacy);
        }
        Reader::from_source(bytes)
            .map(|reader| Database::MaxMind(Box::new(reader)))
            .map_err(|error| error.to_string())
    }

    fn country(&self, address: IpAddr) -> Option<String> {
        match self {
            Database::Legacy(legacy) => legacy.country(address).map(str::to_owned),
            Database::MaxMind(reader) => {
                let path = [PathElement::Key("country"), PathElement::Key("iso_code")];
                reader.lookup(address).ok()?.decode_path(&path).ok()?
            }
        }
    }

    fn record(&self, address: IpAddr) -> Result<Option<Json>, MaxMindDbError> {
        match self {
            Database::Legacy(legacy) => Ok(legacy
                .country(address)
                .map(|code| serde_json::json!({ "country": { "iso_code": code } }))),
            Database::MaxMind(reader) => reader.lookup(address)?.decode(),
        }
    }
}

/// The open databases of a worker, with their paths.
#[derive(Default)]
struct Open(Vec<(String, Database)>);

impl Open {
    /// The number of a database, for `get`.
    fn open(&mut self, path: &str, surroundings: &dyn Surroundings) -> Result<usize, String> {
        if let Some(known) = self.0.iter().position(|(name, _)| name == path) {
            return Ok(known);
        }
        if self.0.len() == MAX_OPEN {
            return Err(format!("{MAX_OPEN} databases are open already"));
        }
        let bytes = surroundings
            .data_file(path)
            .map_err(|error| error.to_string())?;
        self.0.push((path.to_owned(), Database::read(bytes)?));
        Ok(self.0.len() - 1)
    }

    fn get(&self, number: usize) -> Option<&Database> {
        self.0.get(number).map(|(_, database)| database)
    }
}

/// `open(path)`: a number, or nil and what is wrong. `country(number,
/// address)` and `lookup(number, address)`: the answer or nil. An address is
/// the number of an IPv4 one or the 16 bytes of an IPv6 one.
///
/// # Errors
/// When Lua is out of memory.
pub fn native(lua: &Lua, surroundings: &Rc<dyn Surroundings>) -> mlua::Result<Table> {
    let functions = lua.create_table()?;
    let open = Rc::new(RefCell::new(Open::default()));
    let (own, files) = (Rc::clone(&open), Rc::clone(surroundings));
    functions.set(
        "open",
        lua.create_function(
            move |_, path: String| match own.borrow_mut().open(&path, &*files) {
                Ok(number) => Ok((Some(number), None)),
                Err(problem) => Ok((None, Some(problem))),
            },
        )?,
    )?;
    let own = Rc::clone(&open);
    functions.set(
        "country",
        lua.create_function(move |_, (number, value): (usize, Value)| {
            let open = own.borrow();
            let found = open.get(number).zip(address(&value));
            Ok(found.and_then(|(database, address)| database.country(address)))
        })?,
    )?;
    functions.set(
        "lookup",
        lua.create_function(move |lua, (number, value): (usize, Value)| {
            let open = open.borrow();
            let found = open.get(number).zip(address(&value));
            let record = found.and_then(|(database, address)| database.record(address).ok()?);
            record.map_or(Ok(Value::Nil), |record| {
                lua_value(lua, &record, &mut { MAX_VALUES })
            })
        })?,
    )?;
    Ok(functions)
}

fn address(value: &Value) -> Option<IpAddr> {
    match value {
        Value::Integer(number) => u32::try_from(*number).ok().map(v4),
        Value::Number(number) => Some(v4(*number as u32)),
        Value::String(bytes) => {
            let bytes: [u8; 16] = (*bytes.as_bytes()).try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from(number).into()
}

/// A record as Lua values; what is beyond `left` values is left out.
fn lua_value(lua: &Lua, record: &Json, left: &mut usize) -> mlua::Result<Value> {
    if *left == 0 {
        return Ok(Value::Nil);
    }
    *left -= 1;
    Ok(match record {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let table = lua.create_table()?;
            for item in items {
                table.raw_push(lua_value(lua, item, left)?)?;
            }
            Value::Table(table)
        }
        Json::Object(fields) => {
            let table = lua.create_table()?;
            for (name, field) in fields {
                table.raw_set(name.as_str(), lua_value(lua, field, left)?)?;
            }
            Value::Table(table)
        }
    })
}

#[cfg(test)]
mod tests;
