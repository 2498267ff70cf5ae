//! Modules of Lua helpers: classes, checks, colours, lists.

use super::{Argument, Object, arg, function, method, property, writable};

const LEVEL: Argument = arg("level", "integer?");
const ROWS: &[Argument] = &[arg("rows", "table")];

macro_rules! colours {
    ($($name:literal)*) => {
        &[$(property($name, "string", "The terminal's sequence of that name, or nothing."),)*]
    };
}

pub const OBJECTS: &[Object] = &[
    Object::new(
        "class_module",
        "Classes with single inheritance.",
        &[
            function("class", &[arg("name", "string?"), arg("super", "class?")], "class", "A new class."),
            function("super", &[arg("class", "class")], "table?", "The methods of the parent class, to be called with the object: `class.super(C).__init(self)`."),
            function("classof", &[arg("object", "any")], "class?", "The class of an object."),
            function("isclass", &[arg("value", "any")], "boolean", "Whether it is a class."),
            function("isa", &[arg("object", "any"), arg("class", "class")], "boolean", "Whether an object is of a class or of one that derives from it."),
            function("isaclass", &[arg("class", "any"), arg("ancestor", "any")], "boolean", "Whether a class is another or derives from it."),
            function("merge", &[arg("to", "table"), arg("from", "table")], "nil", "Gives an object the fields and computed fields of another."),
            function("new_instance", &[arg("class", "class"), arg("...", "any")], "any", "What `new` does by default."),
            property("BaseObject", "class", "The root of all classes."),
        ],
    )
    .module("class"),
    Object::new(
        "class",
        "A class. Fields that are set in it are its own, not those of its objects.",
        &[
            property("name", "string", "Its name."),
            property("super", "class?", "The class that it derives from."),
            property("method", "table", "Its methods, to be set here. Special ones: `__init`, `__tostring`, `__index`, `__newindex`."),
            property("property", "table", "Its computed fields: tables of `get` and `set`."),
            method("new", &[arg("...", "any")], "any", "Makes an object and calls its `__init`."),
        ],
    )
    .open(),
    Object::new(
        "object",
        "What every object of a class has.",
        &[
            method("clone", &[], "object", "A copy of its fields."),
            method("addproperty", &[arg("name", "string"), arg("get", "function?"), arg("set", "function?")], "nil", "Gives this object a computed field."),
        ],
    )
    .open(),
    Object::new(
        "check",
        "Checks of arguments, whose errors point at the caller.",
        &[
            function("error", &[arg("message", "string"), LEVEL], "nil", "Raises an error at the caller."),
            function("assert", &[arg("condition", "any"), arg("message", "string"), LEVEL], "nil", "Raises an error at the caller if the condition is false."),
            function("type", &[arg("n", "integer"), arg("value", "any"), arg("expected", "string"), LEVEL], "nil", "Checks the type of an argument."),
            function("types", &[arg("n", "integer"), arg("value", "any"), arg("expected", "string[]"), LEVEL], "nil", "Checks for one of several types."),
        ],
    )
    .module("check"),
    Object::new(
        "color",
        "Colours of the terminal; empty where the output is none.",
        colours! { "clear" "bold" "black" "red" "green" "yellow" "blue" "magenta" "cyan" "white" },
    )
    .module("color"),
    Object::new(
        "list",
        "Tables of rows, as the console shows them.",
        &[
            function("new", &[arg("name", "string?")], "list_class", "A new kind of list."),
            property("formatter", "list.formatter", "How cells are shown."),
            property("aggregator", "list.aggregator", "How columns are summed up."),
        ],
    )
    .module("list"),
    Object::new(
        "list.formatter",
        "How cells are shown.",
        &[
            function("unit", &[arg("value", "any")], "any", "1234 as 1.23k."),
            function("optional", &[arg("default", "any")], "function", "What stands for a missing value."),
        ],
    ),
    Object::new(
        "list.aggregator",
        "How columns are summed up.",
        &[
            function("add", &[arg("values", "table")], "number", "The sum."),
            function("replace", &[arg("value", "any")], "function", "Always the same value."),
        ],
    ),
    Object::new(
        "list_class",
        "A kind of list.",
        &[
            method("new", &[], "list_object", "An empty list."),
            writable("field", "string[]", "Names of the columns, in order."),
            writable("key", "string?", "The column that `get` looks at."),
            writable("field_format", "table<string, function>?", "How cells of a column are shown."),
            writable("field_aggregate", "table<string, function>?", "How columns are summed up."),
        ],
    )
    .over(&["class"])
    .open(),
    Object::new(
        "list_object",
        "A list: `#list` is the number of rows; a column's name gives the only row's value, or the column summed up.",
        &[
            method("add", ROWS, "nil", "Adds an array of rows."),
            method("addall", &[arg("arrays", "table")], "nil", "Adds several arrays of rows."),
            method("get", &[arg("key", "any")], "list_object?", "A list of the row with that key."),
            method("filter", &[arg("keep", "fun(row: table): boolean")], "list_object", "Keeps the rows for which the function says so."),
            method("sort", &[arg("order", "string|fun(a: table, b: table): boolean"), arg("invert", "boolean?")], "list_object", "Sorts by a column, or by a function."),
            method("print", &[], "nil", "Prints the list."),
        ],
    )
    .over(&["object"])
    .open(),
    Object::new(
        "rule_module",
        "The rules that were registered.",
        &[property("rules", "table", "Rules and groups in order.")],
    )
    .module("rule"),
    Object::new(
        "parse_result_module",
        "Haka's module of the classes of results: `haka.grammar.result`.",
        &[
            property("Result", "class", "The class of results."),
            property("ArrayResult", "class", "The class of results of arrays."),
        ],
    )
    .module("parse_result"),
    Object::new(
        "state_module",
        "Haka's module of the kinds of states: those of `haka.state_machine`.",
        &[
            property("State", "class", "States without events of their own."),
            property(
                "BidirectionalState",
                "class",
                "States that parse what either end sends.",
            ),
        ],
    )
    .module("state"),
    Object::new(
        "grammar_dg_module",
        "Haka's module of the classes of compiled grammars, by their names in Haka.",
        &[],
    )
    .module("grammar_dg")
    .open(),
    Object::new(
        "parse_module",
        "Limits of grammars.",
        &[writable("max_recursion", "integer", "How deep a rule may contain itself.")],
    )
    .module("parse"),
];
