//! Signatures as text.

use super::Argument;

/// `fun(pkt: tcp, direction: 'up'|'down')`.
pub fn function_type(arguments: &[Argument], gives: &str) -> String {
    let list: Vec<String> = arguments
        .iter()
        .map(|argument| format!("{}: {}", argument.name, argument.is))
        .collect();
    let gives = if gives == "nil" {
        String::new()
    } else {
        format!(": {gives}")
    };
    format!("fun({}){gives}", list.join(", "))
}

/// `(to, from[, size])`: arguments that may be left out in brackets.
pub fn parameters(arguments: &[Argument]) -> String {
    let mut text = String::from("(");
    let mut open = 0;
    for (place, argument) in arguments.iter().enumerate() {
        let comma = if place > 0 { ", " } else { "" };
        if argument.is.ends_with('?') {
            open += 1;
            text += &format!("[{comma}{}", argument.name);
        } else {
            text += &format!("{comma}{}", argument.name);
        }
    }
    text + &"]".repeat(open) + ")"
}
