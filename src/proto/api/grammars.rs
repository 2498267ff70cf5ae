//! Grammars: the words of definitions, options, converters, results.

use super::{Argument, Member, Object, arg, function, method, property, writable};

const ENTITY: Argument = arg("entity", "grammar.entity");
const LIST: &[Argument] = &[arg("entities", "grammar.entity[]")];
const CALLBACK: &str = "fun(result: grammar.result, ctx: grammar.context): any";
const COUNT: &[Argument] = &[arg(
    "n",
    "integer|fun(result: grammar.result, ctx: grammar.context): integer",
)];
const PATTERN: &[Argument] = &[arg("pattern", "string")];
const RULES: &[Argument] = &[arg("...", "any")];
const HELD: &[Argument] = &[arg("readonly", "boolean?")];

macro_rules! words {
    ($($class:literal)*) => { &[
        function("number", &[arg("bits", "integer"), arg("endian", "'big'|'little'?")], "grammar.entity", "An unsigned number of 1 to 64 bits."),
        property("flag", "grammar.entity", "One bit, as a boolean."),
        function("bytes", &[], "grammar.entity", "Bytes, as a part of the buffer: all that is left, unless `count` or `untiltoken` ends them."),
        property("text", "grammar.entity", "As `bytes`, as a string."),
        function("token", PATTERN, "grammar.entity", "What a regular expression matches here, as a string."),
        function("raw_token", PATTERN, "grammar.entity", "What a regular expression matches here, as a part of the buffer."),
        function("align", &[arg("bits", "integer")], "grammar.entity", "Skips bits up to a multiple of so many, counted from the start of the parse."),
        function("field", &[arg("name", "string"), ENTITY], "grammar.entity", "Gives an entity a name: a field of the result."),
        function("record", LIST, "grammar.entity", "Entities one after the other, whose bytes stay until the last one is read."),
        function("sequence", LIST, "grammar.entity", "Entities one after the other, whose bytes may leave as they are read; its members have no names."),
        function("union", LIST, "grammar.entity", "Entities that all begin at the same byte."),
        function("try", LIST, "grammar.entity", "The first of the entities that can be parsed."),
        function("branch", &[arg("cases", "table"), arg("selector", CALLBACK)], "grammar.entity", "The case that the function names; `default` may be an entity or `'continue'`."),
        function("optional", &[ENTITY, arg("present", CALLBACK)], "grammar.entity", "The entity, if the function gives true."),
        function("array", &[ENTITY], "grammar.entity", "The entity again and again; needs `count`, `untilcond` or `whilecond`."),
        function("execute", &[arg("fn", CALLBACK)], "grammar.entity", "Calls a function."),
        function("verify", &[arg("fn", CALLBACK), arg("message", "string?")], "grammar.entity", "Fails the parse unless the function gives something true."),
        function("empty", &[], "grammar.entity", "Nothing."),
        function("fail", &[arg("message", "string?")], "grammar.entity", "Fails the parse."),
        function("export", RULES, "nil", "Rules that can be parsed from outside; they are compiled then."),
        function("define", &[arg("...", "string")], "nil", "Names of rules that are used before they are assigned."),
        function("extend", &[arg("...", "grammar")], "nil", "Takes over the rules of other grammars, except those that are assigned anew."),
        property("converter", "grammar.converters", "Between what is stored and what rules see."),
        $(property($class, "class", "The class of such entities, for `Class:new(…)` and tests of what something is."),)*
    ] };
}

/// Options give a changed copy.
const OPTIONS: &[Member] = &[
    method(
        "convert",
        &[
            arg("converter", "grammar.converter"),
            arg("memoize", "boolean?"),
        ],
        "grammar.entity",
        "Reads and writes through a converter; `memoize` keeps what was read.",
    ),
    method(
        "memoize",
        &[],
        "grammar.entity",
        "Keeps what was read until the next write.",
    ),
    method(
        "validate",
        &[arg("fn", "fun(result: grammar.result)")],
        "grammar.entity",
        "Makes the field right after it was set to nil: the function writes it before it is read.",
    ),
    method(
        "apply",
        &[arg(
            "fn",
            "fun(value: any, result: grammar.result, ctx: grammar.context)",
        )],
        "grammar.entity",
        "Calls a function with the value as soon as it is parsed.",
    ),
    method(
        "const",
        &[arg("value", "any")],
        "grammar.entity",
        "Fails the parse unless the value is this one, or the one that a function gives.",
    ),
    method(
        "result",
        &[arg("class", "class")],
        "grammar.entity",
        "On compounds: the class of the result.",
    ),
    method(
        "extra",
        &[arg("functions", "table")],
        "grammar.entity",
        "On records: computed fields, a function or `get` and `set` by name. Changes the record itself.",
    ),
    method(
        "count",
        COUNT,
        "grammar.entity",
        "On arrays and bytes: how many.",
    ),
    method(
        "untilcond",
        &[arg("fn", "fun(last: any, ctx: grammar.context): any")],
        "grammar.entity",
        "On arrays: ends before the next element once the function gives something true.",
    ),
    method(
        "whilecond",
        &[arg("fn", "fun(last: any, ctx: grammar.context): any")],
        "grammar.entity",
        "On arrays: goes on for as long as the function gives something true.",
    ),
    method(
        "creation",
        &[arg("fn", "fun(entity: any, init: any): vbuffer, any")],
        "grammar.entity",
        "On arrays: makes a new element for `append`: its bytes and its result.",
    ),
    method(
        "untiltoken",
        PATTERN,
        "grammar.entity",
        "On bytes: ends before the first match.",
    ),
    method(
        "chunked",
        &[arg(
            "fn",
            "fun(result: grammar.result, sub: vbuffer_sub?, last: boolean, ctx: grammar.context)",
        )],
        "grammar.entity",
        "On bytes: calls a function with every part as it comes, and does not wait for all.",
    ),
];

pub const OBJECTS: &[Object] = &[
    Object::new(
        "haka.grammar",
        "Describing protocols.",
        &[
            function("new", &[arg("name", "string"), arg("definition", "fun()")], "grammar", "A grammar. The definition is run once and sees the words of definitions."),
            property("converter", "grammar.converters", "Between what is stored and what rules see."),
            property("result", "haka.grammar.result", "The classes of results."),
            property("Result", "class", "The class of results."),
            writable("debug", "boolean", "Whether graphs are written: `NAME-grammar.dot`."),
        ],
    ),
    Object::new(
        "haka.grammar.result",
        "The classes of results, to derive from for the option `result`.",
        &[
            property("Result", "class", "The class of results."),
            property("ArrayResult", "class", "The class of results of arrays."),
        ],
    ),
    Object::new(
        "grammar.converters",
        "Converters, and how to make them.",
        &[
            function("mult", &[arg("factor", "number")], "grammar.converter", "Stored in units of so much."),
            property("bool", "grammar.converter", "Zero is false."),
            function("tonumber", &[arg("format", "string"), arg("base", "integer?")], "grammar.converter", "A number written as text, by `string.format`."),
            property("string", "grammar.converter", "A part of the buffer as a string."),
        ],
    ),
    Object::new(
        "grammar.converter",
        "Between what is stored and what rules see; rules may write their own.",
        &[
            writable("get", "(fun(stored: any): any)?", "What rules see."),
            writable("set", "(fun(value: any): any)?", "What is stored."),
        ],
    )
    .written(),
    Object::new(
        "grammar.words",
        "Words of a definition; assigning an entity to a name makes a rule of it.",
        words! {
            "Entity" "Compound" "Record" "Sequence" "Union" "Try" "Branch" "Array" "Number"
            "Bytes" "Bits" "Token" "Execute" "Retain" "Release" "Empty" "Error"
        },
    ),
    Object::new(
        "grammar.entity",
        "What a grammar is written with. Each option gives a changed copy.",
        OPTIONS,
    )
    .open(),
    Object::new(
        "grammar",
        "A grammar: its exported rules by their names.",
        &[property("unique_export", "grammar.rule", "The exported rule, where there is just one.")],
    )
    .open(),
    Object::new(
        "grammar.rule",
        "An exported rule.",
        &[
            method("parse", &[arg("iter", "vbuffer_iterator|vbuffer_iterator_blocking"), arg("user", "any?")], "grammar.result", "The result, and an error if there is one. The iterator is moved; a blocking one waits for bytes."),
            method("create", &[arg("iter", "vbuffer_iterator"), arg("init", "table?")], "grammar.result", "Writes values over the bytes, and gives the result that reads them."),
        ],
    )
    .open(),
    Object::new(
        "grammar.result",
        "What was parsed: the named fields. Reading decodes the bytes, writing changes them.",
        &[method("validate", &[], "nil", "Makes all fields right that were set to nil.")],
    )
    .over(&["object"])
    .open(),
    Object::new(
        "grammar.array_result",
        "The elements of an array, from 1.",
        &[
            method("append", &[arg("init", "any")], "nil", "Adds an element that the option `creation` makes."),
            method("remove", &[arg("element", "any")], "nil", "Takes out an element, by its number or itself, with its bytes."),
        ],
    )
    .over(&["grammar.result"])
    .open(),
    Object::new(
        "grammar.context",
        "One parse, as the functions of a grammar see it. Rules may keep fields in it while it lasts.",
        &[
            property("iter", "vbuffer_iterator", "Where the parse stands."),
            property("user", "any", "What `parse` was called with."),
            property("init", "table?", "What `create` was called with."),
            property("current_init", "table?", "The part of it for the record in work."),
            property("retain_mark", "vbuffer_iterator?", "Where the bytes begin that are held."),
            method("result", &[arg("index", "integer?")], "grammar.result", "A result in work: from 1 for the outermost, from -1 for the innermost."),
            method("lookahead", &[], "integer", "The next byte, or -1 at the end."),
            method("error", &[arg("message", "any"), arg("...", "any")], "nil", "Fails the parse."),
            method("update", &[arg("to", "vbuffer_iterator")], "nil", "Goes on elsewhere."),
            method("mark", HELD, "nil", "Holds the bytes that follow."),
            method("unmark", &[], "nil", "Lets go what was held last."),
        ],
    )
    .open(),
    Object::new(
        "grammar.error",
        "Why a parse failed; `tostring` tells all of it.",
        &[
            property("position", "vbuffer_iterator", "Where; `position.meter` counts bytes."),
            property("field", "table?", "What was parsed: `id`, `rule` and `name`."),
            property("description", "string", "What was wrong."),
            method("context", &[], "string", "The bytes that follow, in printable form."),
        ],
    )
    .open(),
];
