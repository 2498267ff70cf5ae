//! The reference pages as Markdown: prose, then tables of what the engine
//! knows.

use std::fmt::Write as _;

use super::pages::page_of;
use super::types::{CallRow, FieldRow, calls, fields, fields_of_group, function_type, parameters};
use super::{File, PAGES, Page};
use crate::event::{EVENTS, profile};
use crate::proto::api::sandbox::{LIBRARIES, Library};
use crate::proto::api::{self, Object};
use crate::proto::{PROTOCOLS, optional};

/// Every page, the index first.
pub fn reference() -> Vec<File> {
    let mut pages = all();
    let mut files = vec![file("README", index(&pages))];
    files.extend(pages.drain(..).map(|page| file(page.file, text_of(&page))));
    files.push(file("profiles", profiles()));
    files
}

fn file(name: &str, text: String) -> File {
    File {
        path: format!("{name}.md"),
        text,
    }
}

/// The rows, and a page for each protocol that has none.
fn all() -> Vec<Page> {
    let mut pages = PAGES.to_vec();
    pages.retain(|page| !optional::is_left_out(page.file));
    for protocol in PROTOCOLS {
        if !pages.iter().any(|page| page.file == protocol.name) {
            pages.push(Page {
                file: protocol.name,
                title: protocol.require,
                dissector: protocol.name,
                objects: &[],
                errors: &[],
                prose: "",
            });
        }
    }
    pages
}

fn index(pages: &[Page]) -> String {
    let mut text = String::from(
        "# Reference\n\nWritten by `wero doc reference` from the tables that the engine runs on. `wero doc stubs` \
         gives editors the\nsame ([editors](../guide/editors.md)).\n\n| Page | |\n|---|---|\n",
    );
    for page in pages {
        let first = objects_of(page).into_iter().next();
        let doc = first.map_or("", |object| object.doc);
        let doc = doc.split_once(". ").map_or(doc, |(first, _)| first);
        row(
            &mut text,
            &[
                &format!("[{}]({}.md)", page.title, page.file),
                doc.trim_end_matches('.'),
            ],
        );
    }
    row(
        &mut text,
        &[
            "[Profiles](profiles.md)",
            "In what the profiles `wero` and `haka` differ",
        ],
    );
    text
}

fn text_of(page: &Page) -> String {
    let mut text = format!("# {}\n\n", page.title);
    if !page.prose.is_empty() {
        text += page.prose.trim_end();
        text += "\n\n";
    }
    for object in objects_of(page) {
        text += &object_text(object, page);
    }
    if page.file == "globals" {
        text += &sandbox();
    }
    text += &events(page.dissector);
    text += &policies(page.dissector);
    if !page.errors.is_empty() {
        text += "## Errors\n\n| Text | When |\n|---|---|\n";
        for (error, meaning) in page.errors {
            row(&mut text, &[&format!("`{}`", error.trim()), meaning]);
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Those that the page lists, then those that are its protocol's by name.
fn objects_of(page: &Page) -> Vec<&'static Object> {
    let listed = page.objects.iter().filter_map(|name| api::object(name));
    let named = api::objects().filter(|object| {
        page_of(object) == Some(page.file) && !page.objects.contains(&object.name)
    });
    listed.chain(named).collect()
}

fn object_text(object: &Object, page: &Page) -> String {
    let mut text = format!("## {}\n\n{}", heading(object), object.doc);
    if !object.below.is_empty() {
        let below: Vec<String> = object.below.iter().map(|name| link(name, page)).collect();
        write!(text, " It has what {} has, too.", below.join(", ")).expect("text grows");
    }
    if object.open && !object.written {
        text += " Rules may keep fields of their own in it.";
    }
    text += "\n\n";
    if let Some(call) = object.call {
        let is = function_type(call.arguments, call.gives);
        writeln!(text, "It is called: `{is}`.\n").expect("text grows");
    }
    let fields = fields(object);
    field_table(&mut text, &fields, object.written, page);
    for field in &fields {
        let group = fields_of_group(&field.is);
        if field.is == format!("{}.{}", object.name, field.name) && !group.is_empty() {
            writeln!(text, "### `{}`\n", field.is).expect("text grows");
            field_table(&mut text, &group, false, page);
        }
    }
    call_table(&mut text, object, &calls(object), page);
    text
}

/// Modules by what `require` takes; the heading is also what links lead to.
fn heading(object: &Object) -> String {
    match object.require {
        "" | "haka" => format!("`{}`", object.name),
        module => format!("`require('{module}')`"),
    }
}

fn field_table(text: &mut String, fields: &[FieldRow], written: bool, page: &Page) {
    if fields.is_empty() {
        return;
    }
    text.push_str(if written {
        "| Key | Type | Meaning |\n|---|---|---|\n"
    } else {
        "| Field | Type | Access | Meaning |\n|---|---|---|---|\n"
    });
    for field in fields {
        let (name, is) = (format!("`{}`", field.name), type_text(&field.is, page));
        let access = if field.writable {
            "read, write"
        } else {
            "read"
        };
        match written {
            true => row(text, &[&name, &is, field.doc]),
            false => row(text, &[&name, &is, access, field.doc]),
        }
    }
    text.push('\n');
}

fn call_table(text: &mut String, object: &Object, calls: &[CallRow], page: &Page) {
    if calls.is_empty() {
        return;
    }
    text.push_str("| Function | Gives | Meaning |\n|---|---|---|\n");
    let is_global =
        ["lua", "grammar.words", "state_machine.words", "console"].contains(&object.name);
    let owner = match object.name {
        name if name.starts_with("haka.") || name == "haka" => name,
        name if name.starts_with("lua.") && name != "lua.file" => &name[4..],
        _ => "",
    };
    for call in calls {
        let joint = match (call.method, is_global) {
            (true, _) => ":",
            (false, true) => "",
            (false, false) => ".",
        };
        let name = format!(
            "`{owner}{joint}{}{}`",
            call.name,
            parameters(call.call.arguments)
        );
        let gives = match call.call.gives {
            "nil" => String::new(),
            gives => type_text(gives, page),
        };
        row(text, &[&name, &gives, call.doc]);
    }
    text.push('\n');
}

/// A type, as a link where it is an object of this manual.
fn type_text(is: &str, page: &Page) -> String {
    let plain = is.trim_end_matches('?');
    match api::object(plain) {
        Some(_) if plain != is => format!("{} or nil", link(plain, page)),
        Some(_) => link(plain, page),
        None => format!("`{is}`"),
    }
}

fn link(name: &str, page: &Page) -> String {
    let Some(object) = api::object(name) else {
        return format!("`{name}`");
    };
    let anchor: String = heading(object)
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric() || ['_', '-'].contains(letter))
        .collect();
    match page_of(object) {
        Some(file) if file == page.file => format!("[`{name}`](#{anchor})"),
        Some(file) => format!("[`{name}`]({file}.md#{anchor})"),
        None => format!("`{name}`"),
    }
}

fn events(dissector: &str) -> String {
    let rows = EVENTS.iter().filter(|row| row.dissector == dissector);
    let mut text = String::from("## Events\n\n| Event | Listener | When |\n|---|---|---|\n");
    let mut any = false;
    for event in rows.filter(|row| !row.name.starts_with("policy:")) {
        any = true;
        let listener = |arguments| format!("`{}`", function_type(arguments, "nil"));
        let plain = api::listener(event).map_or(String::new(), listener);
        row(
            &mut text,
            &[&format!("`{}`", event.name), &plain, event.doc],
        );
        let streamed = api::streamed_listener(event);
        if streamed != api::listener(event) {
            let streamed = streamed.map_or(String::new(), listener);
            let doc = "With `options = { streamed = true }`.";
            row(&mut text, &[&format!("`{}`", event.name), &streamed, doc]);
        }
    }
    text.push('\n');
    if any { text } else { String::new() }
}

fn policies(dissector: &str) -> String {
    let told = api::policies_told(dissector);
    if dissector.is_empty() || told.is_empty() {
        return String::new();
    }
    let mut text = String::from("## Policies\n\n| Policy | Meaning |\n|---|---|\n");
    for (name, doc) in told {
        row(&mut text, &[&format!("`{name}`"), doc]);
    }
    text.push('\n');
    text
}

/// What the sandbox leaves of each library, and what it takes out.
fn sandbox() -> String {
    let mut text =
        String::from("## The sandbox\n\n| Library | As in Lua | Not there |\n|---|---|---|\n");
    let list = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(" ")
    };
    for Library {
        name,
        standard,
        removed,
        ..
    } in LIBRARIES
    {
        row(
            &mut text,
            &[&format!("`{name}`"), &list(standard), &list(removed)],
        );
    }
    text += "| `ffi` | | all of it |\n\n";
    text
}

fn profiles() -> String {
    let mut text = String::from("| setting | `wero` | `haka` | meaning |\n|---|---|---|---|\n");
    for (name, wero, haka, meaning) in profile::differences() {
        row(
            &mut text,
            &[&format!("`{name}`"), &wero, &haka, meaning.trim()],
        );
    }
    text
}

/// A row of a table; bars inside cells are no borders.
fn row(text: &mut String, cells: &[&str]) {
    for cell in cells {
        text.push_str("| ");
        text.push_str(&cell.replace('|', "\\|"));
        text.push(' ');
    }
    text.push_str("|\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_whole() {
        for file in reference() {
            let mut columns = None;
            for line in file.text.lines() {
                if !line.starts_with('|') {
                    columns = None;
                    continue;
                }
                let bars = line.replace("\\|", "").matches('|').count();
                assert_eq!(*columns.get_or_insert(bars), bars, "{}: {line}", file.path);
            }
        }
    }

    #[test]
    fn every_difference_of_the_profiles_is_told() {
        let text = profiles();
        assert_eq!(text.lines().count(), 2 + profile::differences().len());
    }

    #[test]
    fn links_lead_somewhere() {
        let files = reference();
        for file in &files {
            for part in file.text.split("](").skip(1) {
                let target = part.split(')').next().unwrap_or_default();
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                if path.starts_with("..") || path.contains(':') {
                    continue;
                }
                let other = match path {
                    "" => Some(file),
                    path => files.iter().find(|other| other.path == path),
                };
                let other = other.unwrap_or_else(|| panic!("{}: {target}", file.path));
                let plain = |line: &str| -> String {
                    let line = line.trim_start_matches(['#', ' ']).to_lowercase();
                    let kept =
                        |letter: &char| letter.is_alphanumeric() || ['_', '-'].contains(letter);
                    line.chars().filter(kept).collect()
                };
                let found = other
                    .text
                    .lines()
                    .any(|line| line.starts_with("##") && plain(line) == anchor);
                assert!(anchor.is_empty() || found, "{}: {target}", file.path);
            }
        }
    }
}
