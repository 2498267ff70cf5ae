//! Requests of `misc/elasticsearch`, checked and handed over to be sent.
//!
//! Documents come as JSON text from the Lua side. Names that go into an
//! address are checked here. Not here: the connection, its queue and its
//! failures (`sink`).

use std::cell::Cell;
use std::rc::Rc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mlua::{Lua, LuaString, Table};
use sha2::{Digest, Sha256};

use super::Surroundings;
use crate::event::{StoreAction, StoreRequest};

/// The longest name of an index (a limit of the server's), type or id.
const LONGEST_NAME: usize = 255;

/// `server(url)`: the address as it is used, or nil and what is wrong.
/// `store(server, index, action, kind, id, body)`: nothing, or what is wrong.
/// `genid()`: an id that no other document has.
///
/// # Errors
/// When Lua is out of memory.
pub fn native(lua: &Lua, surroundings: &Rc<dyn Surroundings>) -> mlua::Result<Table> {
    let functions = lua.create_table()?;
    functions.set(
        "server",
        lua.create_function(|_, url: LuaString| match server(&url.to_string_lossy()) {
            Ok(server) => Ok((Some(server), None)),
            Err(problem) => Ok((None, Some(problem))),
        })?,
    )?;
    let out = Rc::clone(surroundings);
    type Arguments = (
        String,
        LuaString,
        String,
        Option<LuaString>,
        Option<LuaString>,
        LuaString,
    );
    functions.set(
        "store",
        lua.create_function(
            move |_, (server, index, action, kind, id, body): Arguments| {
                let request = request(
                    server,
                    index.to_string_lossy(),
                    &action,
                    kind.map(|kind| kind.to_string_lossy()),
                    id.map(|id| id.to_string_lossy()),
                    body.to_string_lossy(),
                );
                Ok(match request {
                    Ok(request) => {
                        out.store(request);
                        None
                    }
                    Err(problem) => Some(problem),
                })
            },
        )?,
    )?;
    let (nonce, count) = (surroundings.nonce(), Cell::new(0u64));
    functions.set(
        "genid",
        lua.create_function(move |_, ()| {
            count.set(count.get() + 1);
            Ok(id(nonce, count.get()))
        })?,
    )?;
    Ok(functions)
}

/// 22 characters that may stand in an address: 16 bytes in base64.
fn id(nonce: [u8; 16], count: u64) -> String {
    let digest = Sha256::new()
        .chain_update(nonce)
        .chain_update(count.to_le_bytes())
        .finalize();
    BASE64_URL_SAFE_NO_PAD.encode(digest.get(..16).unwrap_or_default())
}

fn server(url: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let rest = rest.trim_end_matches('/');
    let plain = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '?' | '#');
    let host = !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(plain);
    if host && matches!(scheme, "http" | "https") {
        return Ok(format!("{scheme}://{rest}"));
    }
    Err(format!(
        "'{}' is no address of a server; write it as http://host:9200",
        url.escape_debug()
    ))
}

fn request(
    server: String,
    index: String,
    action: &str,
    kind: Option<String>,
    id: Option<String>,
    body: String,
) -> Result<StoreRequest, String> {
    let names = [Some(&index), kind.as_ref(), id.as_ref()];
    if let Some(long) = names
        .into_iter()
        .flatten()
        .find(|name| name.len() > LONGEST_NAME)
    {
        return Err(format!(
            "a name of {} bytes is too long: at most {LONGEST_NAME}",
            long.len()
        ));
    }
    // The server's own rule, and what would change the meaning of a path.
    let odd = |letter: char| !letter.is_ascii_graphic() || "\\/*?\"<>|,#:%".contains(letter);
    if index.is_empty() || index.chars().any(odd) || index.starts_with(['.', '-', '_', '+']) {
        return Err(format!("'{}' is no name of an index", index.escape_debug()));
    }
    let kind = kind.unwrap_or_default();
    let action = match (action, id) {
        ("newindex", _) => StoreAction::NewIndex,
        ("insert", id) => StoreAction::Insert { kind, id },
        (_, Some(id)) => StoreAction::Update { kind, id },
        (_, None) => return Err("an update needs an id".to_owned()),
    };
    Ok(StoreRequest {
        server,
        index,
        action,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_22_characters_and_differ() {
        let ids: Vec<_> = (0..100).map(|count| id([7; 16], count)).collect();
        assert!(ids.iter().all(|id| id.len() == 22), "{ids:?}");
        let mut different = ids.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), ids.len());
        assert_ne!(id([7; 16], 0), id([8; 16], 0));
    }

    #[test]
    fn addresses_of_servers_are_checked() {
        assert_eq!(server("http://es:9200/").as_deref(), Ok("http://es:9200"));
        assert_eq!(server("es:9200").as_deref(), Ok("http://es:9200"));
        assert_eq!(
            server("https://[::1]:9200/a").as_deref(),
            Ok("https://[::1]:9200/a")
        );
        for wrong in [
            "",
            "http://",
            "ftp://es",
            "http:///x",
            "http://a b",
            "http://a?b",
        ] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_that_would_lead_elsewhere_are_refused() {
        let with_index = |index: &str| {
            request(
                "s".into(),
                index.into(),
                "insert",
                Some("t".into()),
                None,
                "{}".into(),
            )
        };
        assert!(with_index("ips-2026.11").is_ok());
        for wrong in ["", "../_cluster", "a/b", "_all", "a b", "a\n", "a?x", "é"] {
            assert!(with_index(wrong).is_err(), "{wrong}");
        }
        assert!(with_index(&"x".repeat(256)).is_err());
        let update = request("s".into(), "i".into(), "update", None, None, "{}".into());
        assert_eq!(update, Err("an update needs an id".to_owned()));
    }
}
