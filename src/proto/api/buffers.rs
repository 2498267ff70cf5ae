//! Buffers, their parts, iterators and streams.

use super::{Argument, Object, arg, function, method, property, writable};

const WHERE: &[Argument] = &[arg("where", "integer|'begin'|'end'?")];
const PART: &[Argument] = &[arg("offset", "integer?"), arg("size", "integer|'all'?")];
const COUNT: &[Argument] = &[arg("n", "integer")];
const WHAT: &[Argument] = &[
    arg("what", "string|vbuffer|vbuffer_sub"),
    arg("init", "integer?"),
];
const BYTE: &[Argument] = &[arg("byte", "integer|string")];
const DATA: &[Argument] = &[arg("data", "vbuffer")];
const ENDIAN: Argument = arg("endian", "'big'|'little'?");

/// What plain and blocking iterators share.
macro_rules! iterator_members {
    ($($own:expr),* $(,)?) => {
        &[
            writable("meter", "integer", "Bytes passed so far."),
            property("iseof", "boolean", "No more bytes will come."),
            method("available", &[], "integer", "Bytes that are there."),
            method("move_to", &[arg("other", "vbuffer_iterator")], "nil", "Goes where another iterator is."),
            method("insert", DATA, "vbuffer_sub", "Puts bytes in here, and goes behind them."),
            method("split", &[], "nil", "Cuts the buffer here in two pieces."),
            method("mark", &[arg("readonly", "boolean?")], "nil", "Keeps the stream from letting go what follows."),
            method("unmark", &[], "nil", "Takes the mark away."),
            method("copy", &[], "vbuffer_iterator", "An iterator at the same place."),
            method("wait", &[], "boolean", "Waits for bytes; false at the end."),
            method("check_available", &[arg("n", "integer"), arg("nonblocking", "boolean?")], "boolean", "Whether so many bytes are there."),
            method("advance", COUNT, "integer", "Passes up to so many bytes; how many it were."),
            $($own,)*
        ]
    };
}

macro_rules! stream_members {
    ($pushed:literal) => {
        &[
            property("isfinished", "boolean", "Nothing more will be pushed."),
            property("data", $pushed, "What was pushed last."),
            method(
                "push",
                &[arg("data", $pushed)],
                "vbuffer_iterator",
                "Adds bytes at the end.",
            ),
            method(
                "pop",
                &[],
                "any",
                "Takes out a piece that nobody holds, or nil.",
            ),
            method("finish", &[], "nil", "Says that nothing more will come."),
            method(
                "getcomanager",
                &[],
                "vbuffer_stream_comanager",
                "The coroutines that read the stream.",
            ),
        ]
    };
}

pub const OBJECTS: &[Object] = &[
    Object::new(
        "vbuffer",
        "Bytes that can be edited; `#buf` is the length, `buf[1]` the first byte.",
        &[
            property("modified", "boolean", "Whether it was changed."),
            method(
                "pos",
                WHERE,
                "vbuffer_iterator",
                "An iterator at a place, by default the first byte.",
            ),
            method("sub", PART, "vbuffer_sub", "A part, by default all of it."),
            method(
                "append",
                DATA,
                "nil",
                "Puts bytes at the end; the other buffer is empty then.",
            ),
            method(
                "clone",
                &[arg("mode", "'rw'|'copy'|'ro orig'|'ro clone'?")],
                "vbuffer",
                "A buffer with the same bytes.",
            ),
            method("find", WHAT, "integer?", "Offset of bytes, or nil."),
            method("count", BYTE, "integer", "How often a byte stands in it."),
            method("sum", &[], "integer", "The sum of all bytes."),
        ],
    ),
    Object::new(
        "vbuffer_sub",
        "A part of a buffer; it follows its bytes through edits elsewhere.",
        &[
            method("size", &[], "integer", "Length in bytes."),
            method(
                "check_size",
                COUNT,
                "boolean",
                "Whether it has so many bytes.",
            ),
            method(
                "pos",
                WHERE,
                "vbuffer_iterator",
                "An iterator at a place, by default the first byte.",
            ),
            method("sub", PART, "vbuffer_sub", "A part of the part."),
            method("asstring", &[], "string", "A copy of the bytes."),
            method(
                "setstring",
                &[arg("text", "string")],
                "nil",
                "Puts other bytes in its place, of any length.",
            ),
            method(
                "setfixedstring",
                &[arg("text", "string")],
                "nil",
                "Overwrites the bytes, as far as both go.",
            ),
            method(
                "asnumber",
                &[ENDIAN],
                "number",
                "The bytes as an unsigned number.",
            ),
            method(
                "setnumber",
                &[arg("value", "number"), ENDIAN],
                "nil",
                "Writes a number over the bytes.",
            ),
            method(
                "asbits",
                &[arg("offset", "integer"), arg("size", "integer"), ENDIAN],
                "number",
                "Some bits as a number.",
            ),
            method(
                "setbits",
                &[
                    arg("offset", "integer"),
                    arg("size", "integer"),
                    arg("value", "number"),
                    ENDIAN,
                ],
                "nil",
                "Writes a number over some bits.",
            ),
            method("zero", &[], "nil", "Overwrites the bytes with zeros."),
            method("erase", &[], "nil", "Takes the bytes out."),
            method("replace", DATA, "nil", "Puts a buffer in its place."),
            method(
                "select",
                &[],
                "vbuffer_iterator",
                "Takes the bytes out to work on: where they were, and a buffer.",
            ),
            method(
                "isflat",
                &[],
                "boolean",
                "Whether the bytes lie in one piece.",
            ),
            method("flatten", &[], "nil", "Brings the bytes into one piece."),
            method("find", WHAT, "integer?", "Offset of bytes, or nil."),
            method("count", BYTE, "integer", "How often a byte stands in it."),
            method("sum", &[], "integer", "The sum of all bytes."),
        ],
    ),
    Object::new(
        "vbuffer_iterator",
        "A place in a buffer.",
        iterator_members![
            method(
                "sub",
                &[
                    arg("size", "integer|'all'|'available'"),
                    arg("split", "boolean?")
                ],
                "vbuffer_sub",
                "The bytes that follow; goes behind them."
            ),
            method(
                "foreach_available",
                &[],
                "fun(): vbuffer_sub?",
                "For loops over the pieces that are there."
            ),
            method(
                "restore",
                &[arg("data", "vbuffer"), arg("clone", "boolean?")],
                "nil",
                "Puts back what was selected."
            ),
        ],
    ),
    Object::new(
        "vbuffer_iterator_blocking",
        "A place in a stream; reading on waits for bytes that have not come yet.",
        iterator_members![
            method(
                "sub",
                &[
                    arg("size", "integer|'all'|'available'"),
                    arg("split", "boolean?")
                ],
                "vbuffer_sub",
                "The bytes that follow, as soon as they are there; nil at the end."
            ),
            method(
                "foreach_available",
                &[],
                "fun(): vbuffer_sub?",
                "For loops over the pieces as they come."
            ),
        ],
    ),
    Object::new(
        "vbuffer_stream",
        "Buffers, one after the other.",
        stream_members!("vbuffer"),
    ),
    Object::new(
        "vbuffer_sub_stream",
        "Parts of a buffer, one after the other.",
        stream_members!("vbuffer_sub"),
    ),
    Object::new(
        "vbuffer_stream_comanager",
        "The coroutines that read one stream.",
        &[
            function(
                "new",
                &[],
                "vbuffer_stream_comanager",
                "Coroutines for a stream of one's own.",
            ),
            function(
                "hash",
                &[arg("fn", "function"), arg("owner", "any")],
                "any",
                "A key for a function and its owner.",
            ),
            method(
                "start",
                &[arg("id", "any"), arg("fn", "function")],
                "nil",
                "Begins a coroutine.",
            ),
            method(
                "has",
                &[arg("id", "any")],
                "boolean",
                "Whether there is one of that key.",
            ),
            method(
                "process",
                &[arg("id", "any"), arg("current", "vbuffer_iterator")],
                "nil",
                "Shows one of them the new bytes.",
            ),
            method(
                "process_all",
                &[arg("current", "vbuffer_iterator")],
                "nil",
                "Shows all of them the new bytes.",
            ),
            method("close", &[], "nil", "Ends all of them."),
        ],
    ),
];
