//! Regular expressions: `require('regexp/pcre')`.

use super::{Argument, Object, arg, method, property, writable};

const COMPILE: &[Argument] = &[arg("pattern", "string"), arg("options", "integer?")];
const INPUT: &str = "string|vbuffer|vbuffer_sub|vbuffer_iterator|vbuffer_iterator_blocking";

pub const OBJECTS: &[Object] = &[
    Object::new(
        "regexp.pcre",
        "Regular expressions.",
        &[property("re", "regexp_module", "Compiles and matches.")],
    )
    .module("regexp/pcre"),
    Object::new(
        "regexp_module",
        "Compiles and matches regular expressions.",
        &[
            property(
                "CASE_INSENSITIVE",
                "integer",
                "Option: letters match in either case.",
            ),
            property(
                "EXTENDED",
                "integer",
                "Option: white space in the pattern means nothing. Options are added up.",
            ),
            method("compile", COMPILE, "regexp", "A regular expression."),
            method(
                "match",
                &[
                    arg("pattern", "string"),
                    arg("input", INPUT),
                    arg("options", "integer|boolean?"),
                    arg("createsub", "boolean?"),
                ],
                "any",
                "Compiles and matches, for patterns that are used once; `options` may be left out before `createsub`.",
            ),
            method(
                "set",
                &[arg("patterns", "string[]"), arg("options", "integer?")],
                "regexp_set",
                "Many patterns, looked for in one pass.",
            ),
        ],
    ),
    Object::new(
        "regexp",
        "A regular expression.",
        &[
            method(
                "match",
                &[
                    arg("input", INPUT),
                    arg("createsub", "boolean?"),
                    arg("readonly", "boolean?"),
                ],
                "any",
                "Of text: the match, its first (from 0) and last byte (exclusive), or nil, -1, -1. Of a buffer: the part that matches, or nil. Of an iterator: whether there is a match, or with `createsub` the part; the iterator is behind it then, and a blocking one waits for bytes.",
            ),
            method(
                "create_sink",
                &[],
                "regexp_sink",
                "Matches data that comes by the piece.",
            ),
        ],
    ),
    Object::new(
        "regexp_sink",
        "A search over data that comes by the piece.",
        &[
            method(
                "feed",
                &[
                    arg("data", "string|vbuffer|vbuffer_sub?"),
                    arg("eof", "boolean?"),
                    arg("result", "regexp_result?"),
                ],
                "any",
                "Whether it matched. Of parts of buffers also an iterator to the start as soon as it is known, and one to the end.",
            ),
            method(
                "ispartial",
                &[],
                "boolean",
                "A match has begun that is not decided.",
            ),
        ],
    ),
    Object::new(
        "regexp_result",
        "Where a sink that is fed text leaves offsets, counted from the first byte that was fed; -1 where there is none.",
        &[
            writable("first", "integer", "The first byte of the match."),
            writable("last", "integer", "The byte behind it."),
        ],
    ),
    Object::new(
        "regexp_set",
        "Many patterns, looked for in one pass.",
        &[
            method(
                "match",
                &[arg("input", "string|vbuffer|vbuffer_sub")],
                "table<integer, integer>?",
                "From the numbers of the patterns that match to the ends of their first matches; nil if none does.",
            ),
            method(
                "create_sink",
                &[],
                "regexp_set_sink",
                "The same for data that comes by the piece.",
            ),
        ],
    ),
    Object::new(
        "regexp_set_sink",
        "A search for many patterns over data that comes by the piece.",
        &[
            method(
                "feed",
                &[
                    arg("data", "string|vbuffer|vbuffer_sub?"),
                    arg("eof", "boolean?"),
                ],
                "table<integer, integer>?",
                "What was found for the first time.",
            ),
            method(
                "found",
                &[],
                "table<integer, integer>",
                "All that was found so far.",
            ),
        ],
    ),
];
