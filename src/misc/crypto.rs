//! Base64 (RFC 4648, section 4) for `misc/crypto`.
//!
//! Encoding gives one line. Decoding takes padding or the lack of it, and
//! nothing that is no base64. No hook stops native code, so texts have a
//! greatest length.

use std::rc::Rc;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine};
use mlua::{Lua, LuaString, Table};

use super::Surroundings;

/// The longest text that is encoded or decoded at once, in bytes.
pub const LONGEST: usize = 16 << 20;

/// Haka's decoder refuses shorter texts; so does every group of base64 that
/// stands for more than one byte.
const SHORTEST: usize = 3;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// `encode(bytes)` and `decode(text)`: the result, or nil and what is wrong.
///
/// # Errors
/// When Lua is out of memory.
pub fn native(lua: &Lua, _: &Rc<dyn Surroundings>) -> mlua::Result<Table> {
    let functions = lua.create_table()?;
    functions.set(
        "encode",
        lua.create_function(|lua, bytes: LuaString| {
            answer(lua, encode(&bytes.as_bytes()).map(String::into_bytes))
        })?,
    )?;
    functions.set(
        "decode",
        lua.create_function(|lua, text: LuaString| answer(lua, decode(&text.as_bytes())))?,
    )?;
    Ok(functions)
}

fn answer(
    lua: &Lua,
    result: Result<Vec<u8>, String>,
) -> mlua::Result<(Option<LuaString>, Option<String>)> {
    Ok(match result {
        Ok(bytes) => (Some(lua.create_string(bytes)?), None),
        Err(text) => (None, Some(text)),
    })
}

fn encode(bytes: &[u8]) -> Result<String, String> {
    check_length(bytes)?;
    Ok(BASE64.encode(bytes))
}

fn decode(text: &[u8]) -> Result<Vec<u8>, String> {
    check_length(text)?;
    if (1..SHORTEST).contains(&text.len()) {
        return Err(format!(
            "{} characters are too few: at least {SHORTEST} are needed",
            text.len()
        ));
    }
    BASE64.decode(text).map_err(|error| match error {
        DecodeError::InvalidByte(at, byte) => format!(
            "'{}' at position {} is no base64",
            byte.escape_ascii(),
            at + 1
        ),
        DecodeError::InvalidLength(length) => {
            format!("{length} characters end in the middle of a byte")
        }
        other => other.to_string(),
    })
}

fn check_length(text: &[u8]) -> Result<(), String> {
    if text.len() <= LONGEST {
        return Ok(());
    }
    Err(format!(
        "{} bytes are too many: at most {LONGEST} at once",
        text.len()
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_vectors_of_the_rfc() {
        let pairs: [(&[u8], &str); 7] = [
            (b"", ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in pairs {
            assert_eq!(encode(bytes).as_deref(), Ok(text));
            assert_eq!(decode(text.as_bytes()).as_deref(), Ok(bytes));
        }
    }

    #[test]
    fn padding_may_be_left_out() {
        assert_eq!(decode(b"Zm8").as_deref(), Ok(&b"fo"[..]));
        assert_eq!(decode(b"Zm9vYg").as_deref(), Ok(&b"foob"[..]));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let wrong = |text: &[u8]| decode(text).expect_err("no base64");
        assert_eq!(wrong(b"Zm9\n"), "'\\n' at position 4 is no base64");
        assert_eq!(
            wrong(b"Zg"),
            "2 characters are too few: at least 3 are needed"
        );
        assert_eq!(wrong(b"Zm9vY"), "5 characters end in the middle of a byte");
        assert!(wrong(b"Zm=9").contains("position"), "{}", wrong(b"Zm=9"));
        assert!(wrong(&vec![b'A'; LONGEST + 1]).contains("too many"));
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(bytes: Vec<u8>) {
            let text = encode(&bytes).expect("short enough");
            prop_assert_eq!(text.len(), bytes.len().div_ceil(3) * 4);
            prop_assert_eq!(decode(text.as_bytes()), Ok(bytes));
        }

        #[test]
        fn nothing_makes_the_decoder_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
