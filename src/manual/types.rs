//! Types, signatures and names, as Markdown and as LuaLS has them.

use crate::proto::api::{Call, Found, Object, find, group_fields, type_of};
pub use crate::proto::api::{function_type, parameters};

/// A field as rules see it, whatever table it comes from.
pub struct FieldRow {
    pub name: &'static str,
    pub is: String,
    pub writable: bool,
    pub doc: &'static str,
}

/// A function of an object.
pub struct CallRow {
    pub name: &'static str,
    pub call: Call,
    /// Called with a colon.
    pub method: bool,
    pub doc: &'static str,
}

/// The fields of an object: its own and those of its header, without those
/// that it has in common with what lies below.
pub fn fields(object: &Object) -> Vec<FieldRow> {
    let mut rows = Vec::new();
    for member in object.members {
        if let Some(Found::Property { is, writable }) = find_own(object, member.name)
            && !inherited(object, member.name)
        {
            rows.push(FieldRow {
                name: member.name,
                is,
                writable,
                doc: member.doc,
            });
        }
    }
    let mut groups: Vec<&str> = Vec::new();
    for field in object.fields() {
        match field.name.split_once('.') {
            None => rows.push(FieldRow {
                name: field.name,
                is: type_of(field).to_owned(),
                writable: field.writable,
                doc: field.doc,
            }),
            Some((group, _)) if !groups.contains(&group) => {
                groups.push(group);
                rows.push(FieldRow {
                    name: group,
                    is: format!("{}.{group}", object.name),
                    writable: false,
                    doc: "Fields with a common name.",
                });
            }
            Some(_) => {}
        }
    }
    rows
}

/// The fields of a group such as `tcp.flags`.
pub fn fields_of_group(name: &str) -> Vec<FieldRow> {
    let fields = group_fields(name).into_iter();
    fields
        .map(|(name, field)| FieldRow {
            name,
            is: type_of(field).to_owned(),
            writable: field.writable,
            doc: field.doc,
        })
        .collect()
}

/// The functions of an object, without those that it has in common with what
/// lies below.
pub fn calls(object: &Object) -> Vec<CallRow> {
    let members = object.members.iter();
    members
        .filter(|member| !inherited(object, member.name))
        .filter_map(|member| {
            let (call, method) = match find_own(object, member.name)? {
                Found::Function(call) => (call, false),
                Found::Method(call) => (call, true),
                Found::Property { .. } => return None,
            };
            Some(CallRow {
                name: member.name,
                call,
                method,
                doc: member.doc,
            })
        })
        .collect()
}

/// A member, not one of what lies below.
fn find_own(object: &Object, name: &str) -> Option<Found> {
    find(
        &Object {
            below: &[],
            ..*object
        },
        name,
    )
}

/// Whether what lies below has the very same member.
fn inherited(object: &Object, name: &str) -> bool {
    let own = object.members.iter().find(|member| member.name == name);
    let below = object.below.iter();
    below
        .filter_map(|below| crate::proto::api::object(below))
        .any(|below| {
            let same = below.members.iter().find(|member| member.name == name);
            matches!((own, same), (Some(own), Some(same))
                if own.doc == same.doc && find_own(object, name) == find_own(below, name))
        })
}

/// A name that Lua takes for a variable.
pub fn variable(name: &str) -> String {
    name.replace(['.', '/', '-'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::api::object;

    #[test]
    fn what_lies_below_is_not_told_again() {
        let tcp = object("tcp").expect("it is there");
        let names: Vec<&str> = calls(tcp).iter().map(|row| row.name).collect();
        assert!(!names.contains(&"drop"), "{names:?}");
        let fields = fields(tcp);
        let of = |name: &str| fields.iter().find(|row| row.name == name);
        assert_eq!(of("flags").expect("a group").is, "tcp.flags");
        assert!(of("srcport").expect("a header field").writable);
        assert!(!fields_of_group("tcp.flags").is_empty());
    }

    #[test]
    fn signatures_say_what_may_be_left_out() {
        let sub = object("vbuffer").expect("it is there");
        let row = calls(sub).into_iter().find(|row| row.name == "sub");
        let row = row.expect("it has parts");
        assert_eq!(parameters(row.call.arguments), "([offset[, size]])");
        assert_eq!(
            function_type(row.call.arguments, row.call.gives),
            "fun(offset: integer?, size: integer|'all'?): vbuffer_sub"
        );
    }
}
