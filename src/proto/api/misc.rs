//! Helper modules: `require('misc/…')`.

use super::{Argument, Object, arg, function, method, property};

const ADDRESS: &[Argument] = &[arg("addr", "addr|string")];
const CODE: Argument = arg("code", "string|vbuffer_iterator|vbuffer_iterator_blocking");

macro_rules! constants {
    ($($name:literal)*) => { &[
        function("new_disassembler", &[arg("arch", "'arm'|'arm64'|'mips'|'x86'|'ppc'|'sparc'|'sysz'|'xcore'"), arg("mode", "'arm'|'16'|'32'|'64'|'thumb'|integer")], "asm_handle", "A disassembler."),
        function("new_instruction", &[arg("address", "integer?")], "asm_instruction", "Where a disassembler puts what it finds; addresses count from this one."),
        $(property($name, "integer", "Capstone's number of that name."),)*
    ] };
}

pub const OBJECTS: &[Object] = &[
    Object::new(
        "misc.crypto",
        "Base64.",
        &[property("base64", "base64", "Encodes and decodes.")],
    )
    .module("misc/crypto"),
    Object::new(
        "base64",
        "Base64 (RFC 4648, section 4).",
        &[
            function(
                "encode",
                &[arg("bytes", "string")],
                "string",
                "Bytes as text, in one line.",
            ),
            function(
                "decode",
                &[arg("text", "string")],
                "string",
                "Text as bytes; padding may be missing.",
            ),
        ],
    ),
    Object::new(
        "misc.geoip",
        "Countries of addresses, from database files.",
        &[
            function(
                "open",
                &[arg("path", "string")],
                "geoip_handle",
                "A database: a MaxMind DB file, or a country database in the older format.",
            ),
            property(
                "geoip_handle",
                "table",
                "The functions `country` and `lookup` by themselves.",
            ),
        ],
    )
    .module("misc/geoip"),
    Object::new(
        "geoip_handle",
        "A database of addresses.",
        &[
            method(
                "country",
                ADDRESS,
                "string?",
                "The country's code of two letters.",
            ),
            method(
                "lookup",
                ADDRESS,
                "table?",
                "All that the database has on an address, at most 512 values.",
            ),
        ],
    ),
    Object::new(
        "misc.asm",
        "A disassembler.",
        constants! {
            "CS_ARCH_ARM" "CS_ARCH_ARM64" "CS_ARCH_MIPS" "CS_ARCH_X86" "CS_ARCH_PPC"
            "CS_ARCH_SPARC" "CS_ARCH_SYSZ" "CS_ARCH_XCORE" "CS_MODE_ARM" "CS_MODE_16"
            "CS_MODE_32" "CS_MODE_64" "CS_MODE_THUMB" "CS_OPT_SYNTAX_INTEL" "CS_OPT_SYNTAX_ATT"
        },
    )
    .module("misc/asm"),
    Object::new(
        "asm_handle",
        "A disassembler for one architecture and mode.",
        &[
            method(
                "setsyntax",
                &[arg("syntax", "'intel'|'att'")],
                "nil",
                "How x86 is written.",
            ),
            method(
                "disassemble",
                &[CODE, arg("inst", "asm_instruction")],
                "boolean",
                "Puts the next instruction into `inst`; false at the end of the code. An iterator is moved behind it.",
            ),
            method(
                "dump_instructions",
                &[CODE, arg("count", "integer?")],
                "nil",
                "Prints so many instructions, or all.",
            ),
        ],
    ),
    Object::new(
        "asm_instruction",
        "One instruction.",
        &[
            property("id", "integer", "Its number in Capstone."),
            property("address", "integer", "Where it stands."),
            property("size", "integer", "Its length in bytes."),
            method(
                "mnemonic",
                &[],
                "string",
                "What it does; `(bad)` where there is no instruction.",
            ),
            method("op_str", &[], "string", "What it does that to."),
            method("bytes", &[], "string", "Its bytes."),
            method("pprint", &[], "nil", "Prints it."),
        ],
    ),
    Object::new(
        "misc.elasticsearch",
        "Documents into Elasticsearch or OpenSearch, by a thread of its own.",
        &[function(
            "connector",
            &[arg("url", "string")],
            "elasticsearch_connector",
            "Names a server; nothing is sent yet.",
        )],
    )
    .module("misc/elasticsearch"),
    Object::new(
        "elasticsearch_connector",
        "A server for documents.",
        &[
            method(
                "newindex",
                &[arg("index", "string"), arg("settings", "table")],
                "nil",
                "Makes an index; one that is there stays as it is.",
            ),
            method(
                "insert",
                &[
                    arg("index", "string"),
                    arg("type", "string"),
                    arg("id", "string?"),
                    arg("document", "table"),
                ],
                "nil",
                "Stores a document.",
            ),
            method(
                "update",
                &[
                    arg("index", "string"),
                    arg("type", "string"),
                    arg("id", "string"),
                    arg("fields", "table"),
                ],
                "nil",
                "Changes fields of a document.",
            ),
            method(
                "timestamp",
                &[arg("time", "time?")],
                "string",
                "A time as text in UTC, by default that of the packets.",
            ),
            method(
                "genid",
                &[],
                "string",
                "22 characters, different in every run and worker.",
            ),
        ],
    ),
];
