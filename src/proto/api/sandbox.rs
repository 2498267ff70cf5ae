//! The globals of rules: what of Lua is there, what differs from it, and what
//! the sandbox has taken out.

use super::{Argument, Object, arg, function, method, property, writable};

/// A library of Lua as rules find it. What is neither here nor a member of
/// its object is not there.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    /// Its global name; `_G` for the functions that have none.
    pub name: &'static str,
    /// The object of what Wero adds or does in its own way.
    pub object: &'static str,
    /// What is as Lua 5.1 and LuaJIT have it.
    pub standard: &'static [&'static str],
    /// What LuaJIT has and rules do not.
    pub removed: &'static [&'static str],
}

/// Every library, `_G` first.
pub const LIBRARIES: &[Library] = &[
    Library {
        name: "_G",
        object: "lua",
        standard: &[
            "_G",
            "_VERSION",
            "assert",
            "bit",
            "coroutine",
            "error",
            "gcinfo",
            "getmetatable",
            "ipairs",
            "math",
            "next",
            "pcall",
            "rawequal",
            "rawget",
            "rawlen",
            "rawset",
            "select",
            "setmetatable",
            "string",
            "table",
            "tonumber",
            "tostring",
            "type",
            "unpack",
            "xpcall",
        ],
        removed: &["newproxy"],
    },
    Library {
        name: "string",
        object: "lua.string",
        standard: &[
            "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "rep",
            "reverse", "sub", "upper",
        ],
        removed: &["dump"],
    },
    Library {
        name: "table",
        object: "lua.table",
        standard: &[
            "concat", "foreachi", "getn", "insert", "maxn", "move", "pack", "remove", "sort",
            "unpack",
        ],
        removed: &[],
    },
    Library {
        name: "math",
        object: "lua.math",
        standard: &[
            "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor",
            "fmod", "frexp", "huge", "ldexp", "log", "log10", "max", "min", "modf", "pi", "pow",
            "rad", "sin", "sinh", "sqrt", "tan", "tanh",
        ],
        removed: &[],
    },
    Library {
        name: "bit",
        object: "",
        standard: &[
            "arshift", "band", "bnot", "bor", "bswap", "bxor", "lshift", "rol", "ror", "rshift",
            "tobit", "tohex",
        ],
        removed: &[],
    },
    Library {
        name: "coroutine",
        object: "lua.coroutine",
        standard: &["create", "isyieldable", "running", "status", "yield"],
        removed: &[],
    },
    Library {
        name: "io",
        object: "lua.io",
        standard: &[],
        removed: &[
            "close", "input", "lines", "open", "output", "popen", "read", "stdin", "tmpfile",
        ],
    },
    Library {
        name: "os",
        object: "lua.os",
        standard: &[],
        removed: &[
            "execute",
            "exit",
            "remove",
            "rename",
            "setlocale",
            "tmpname",
        ],
    },
    Library {
        name: "debug",
        object: "lua.debug",
        standard: &[],
        removed: &[
            "debug",
            "gethook",
            "getlocal",
            "getmetatable",
            "getregistry",
            "getupvalue",
            "getuservalue",
            "sethook",
            "setlocal",
            "setmetatable",
            "setupvalue",
            "setuservalue",
            "upvalueid",
            "upvaluejoin",
        ],
    },
    Library {
        name: "jit",
        object: "lua.jit",
        standard: &[],
        removed: &["attach", "flush", "off", "on", "opt", "security"],
    },
    Library {
        name: "package",
        object: "lua.package",
        standard: &[],
        removed: &["loadlib", "searchers", "searchpath"],
    },
];

/// The library of that global name.
pub fn library(name: &str) -> Option<&'static Library> {
    LIBRARIES.iter().find(|library| library.name == name)
}

/// Every global of rules.
pub fn globals() -> impl Iterator<Item = &'static str> {
    let first = &LIBRARIES[0];
    first.standard.iter().copied().chain(first.own())
}

impl Library {
    /// Names of what Wero adds or does in its own way.
    pub fn own(&self) -> impl Iterator<Item = &'static str> {
        let members = super::object(self.object).map_or(&[][..], |object| object.members);
        members.iter().map(|member| member.name)
    }

    /// Whether rules find that name in it.
    pub fn has(&self, name: &str) -> bool {
        self.standard.contains(&name) || self.own().any(|own| own == name)
    }
}

const CHUNK: &[Argument] = &[
    arg("chunk", "string|function"),
    arg("name", "string?"),
    arg("mode", "string?"),
    arg("env", "table?"),
];
const INTO: &[Argument] = &[arg("to", "table"), arg("from", "table")];
const TABLE: &[Argument] = &[arg("t", "table")];
const WRITTEN: &[Argument] = &[arg("...", "string|number")];

pub const OBJECTS: &[Object] = &[
    Object::new(
        "lua",
        "Globals that Lua has not, or that are Wero's own.",
        &[
            property("haka", "haka", "What every rule file begins with."),
            function("print", &[arg("...", "any")], "nil", "Writes a line to standard output of the values' texts, with a space between them."),
            function("sorted_pairs", &[arg("t", "table"), arg("less", "(fun(a: any, b: any): boolean)?")], "fun(): any, any", "As `pairs`, by the order of the keys' texts."),
            function("topointer", &[arg("value", "any")], "string", "Text that tells a table, function or coroutine from others."),
            function("pairs", TABLE, "fun(t: table, key: any): any, any", "As in Lua, in an order that is the same in every run."),
            function("require", &[arg("module", "string")], "any", "A module of Wero, or a file below the rule file's folder or the module path."),
            function("module", &[arg("name", "string"), arg("...", "function")], "table", "As in Lua 5.1."),
            function("load", CHUNK, "function?", "As in Lua, for text of up to 128 KiB, never bytecode."),
            function("loadstring", &[arg("text", "string"), arg("name", "string?")], "function?", "As `load`."),
            function("loadfile", &[arg("path", "string?"), arg("mode", "string?"), arg("env", "table?")], "function?", "As in Lua, for files below the rule file's folder or the module path."),
            function("dofile", &[arg("path", "string?")], "any", "As in Lua, for files below the rule file's folder or the module path."),
            function("collectgarbage", &[arg("option", "string?"), arg("value", "number?")], "any", "`count` as in Lua; `collect` and `step` do a part of the work; everything else does nothing."),
            function("getfenv", &[arg("of", "function|integer?")], "table", "As in Lua, for functions of rules."),
            function("setfenv", &[arg("of", "function|integer"), arg("env", "table")], "any", "As in Lua, for functions of rules."),
            property("debug", "lua.debug", "What may be asked of the running program."),
            property("io", "lua.io", "Writing to standard output and error."),
            property("jit", "lua.jit", "About LuaJIT."),
            property("os", "lua.os", "Time, and the environment."),
            property("package", "lua.package", "Where `require` looks."),
        ],
    ),
    Object::new(
        "lua.string",
        "Added to `string`. Patterns of `find`, `match`, `gmatch` and `gsub` are tried in counted steps, under the budget of the event.",
        &[function("safe_format", &[arg("text", "string"), arg("keep_newline", "boolean?")], "string", "Text with every byte that is not printable as `\\xhh`.")],
    )
    .open(),
    Object::new(
        "lua.table",
        "Added to `table`.",
        &[
            function("merge", INTO, "nil", "Copies all fields of a table into another."),
            function("append", INTO, "nil", "Puts all elements of a list behind those of another."),
            function("copy", TABLE, "table", "A table with the same fields."),
            function("dict", TABLE, "table", "A table that maps each value of a list to true."),
            function("invert", TABLE, "table", "A table that maps values to keys."),
            function("contains", &[arg("t", "table"), arg("key", "any")], "boolean", "Whether there is such a key."),
            function("foreach", &[arg("t", "table"), arg("fn", "function")], "any", "As in Lua 5.1, in the order of `pairs`."),
        ],
    )
    .open(),
    Object::new(
        "lua.math",
        "Of `math`, what differs: the same run gives the same numbers.",
        &[
            function("random", &[arg("m", "integer?"), arg("n", "integer?")], "number", "As in Lua, from a seed that is the same in every run."),
            function("randomseed", &[arg("seed", "number?")], "nil", "As in Lua; without an argument, back to the first seed."),
        ],
    )
    .open(),
    Object::new(
        "lua.coroutine",
        "Of `coroutine`, what differs: at most 100 coroutines resume each other.",
        &[
            function("resume", &[arg("co", "thread"), arg("...", "any")], "any", "As in Lua."),
            function("wrap", &[arg("fn", "function")], "function", "As in Lua."),
        ],
    )
    .open(),
    Object::new(
        "lua.io",
        "Writing; rules read and write no files.",
        &[
            function("write", WRITTEN, "lua.file", "Writes to standard output."),
            function("flush", &[], "lua.file", "Nothing: whatever is written is out at once."),
            function("type", &[arg("value", "any")], "'file'?", "Whether it is one of the two files."),
            property("stdout", "lua.file", "Standard output."),
            property("stderr", "lua.file", "Standard error."),
        ],
    )
    .open(),
    Object::new(
        "lua.file",
        "Standard output or standard error.",
        &[
            method("write", WRITTEN, "lua.file", "Writes."),
            method("flush", &[], "lua.file", "Nothing: whatever is written is out at once."),
            method("setvbuf", &[arg("mode", "string?"), arg("size", "integer?")], "boolean", "Nothing."),
        ],
    ),
    Object::new(
        "lua.os",
        "Time, and the environment.",
        &[
            function("time", &[arg("fields", "table?")], "integer", "As in Lua; without an argument, the time of the packets."),
            function("date", &[arg("format", "string?"), arg("time", "number?")], "any", "As in Lua; by default of the time of the packets."),
            function("clock", &[], "number", "CPU time of the program, in seconds."),
            function("difftime", &[arg("later", "number"), arg("earlier", "number?")], "number", "As in Lua."),
            function("getenv", &[arg("name", "string")], "string?", "A variable of the environment."),
        ],
    )
    .open(),
    Object::new(
        "lua.debug",
        "What may be asked of the running program.",
        &[
            function("getinfo", &[arg("thread", "any"), arg("of", "any?"), arg("what", "string?")], "table?", "As in Lua, but functions themselves are not told."),
            function("traceback", &[arg("thread", "any?"), arg("message", "any?"), arg("level", "integer?")], "string", "As in Lua."),
            function("getfenv", &[arg("of", "any")], "table?", "As in Lua, for functions of rules."),
            function("setfenv", &[arg("of", "function"), arg("env", "table")], "function", "As in Lua, for functions of rules."),
            function("pprint", &[arg("value", "any"), arg("options", "pprint.options?")], "nil", "Prints a value with all that is in it."),
            function("hide_underscore", &[arg("name", "any"), arg("value", "any?")], "boolean", "For `hide`: names that begin with `_`."),
            function("hide_function", &[arg("name", "any"), arg("value", "any")], "boolean", "For `hide`: functions."),
            function("format_error", &[arg("error", "any")], "any", "An error handler that adds the traceback where the log wants it."),
            property("interactive", "debug.interactive", "Sessions in the middle of a rule."),
            property("debugger", "debug.debugger", "The Lua debugger."),
            function("breakpoint", &[], "nil", "Stops here, if the debugger is attached."),
        ],
    )
    .open(),
    Object::new(
        "lua.jit",
        "About LuaJIT.",
        &[
            property("version", "string", "Its version."),
            property("version_num", "integer", "Its version as a number."),
            property("os", "string", "The operating system."),
            property("arch", "string", "The processor."),
            function("status", &[], "boolean", "Whether the compiler is on."),
        ],
    )
    .open(),
    Object::new(
        "lua.package",
        "Where `require` looks.",
        &[
            writable("path", "string", "Patterns of files of Lua."),
            writable("cpath", "string", "Patterns of native modules."),
            property("config", "string", "Signs in patterns."),
            property("loaded", "table", "Modules that were required."),
            property("preload", "table", "Loaders that come before files; Wero's own modules are there."),
            property("loaders", "table", "How modules are looked for, in order."),
            function("seeall", &[arg("module", "table")], "nil", "As in Lua 5.1."),
        ],
    )
    .open(),
];
