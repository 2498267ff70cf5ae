//! Visits every statement and expression of a tree, outer ones first.

use super::tree::{Block, Expr, Kind, Stat};

/// Calls `see` with every expression, and whether it is assigned to.
pub fn expressions<'a>(block: &'a Block, see: &mut dyn FnMut(&'a Expr, bool)) {
    for stat in block {
        statement(stat, see);
    }
}

fn statement<'a>(stat: &'a Stat, see: &mut dyn FnMut(&'a Expr, bool)) {
    match stat {
        Stat::Local { values, .. } => {
            for value in values {
                expression(value, false, see);
            }
        }
        Stat::Assign { targets, values } => {
            for target in targets {
                expression(target, true, see);
            }
            for value in values {
                expression(value, false, see);
            }
        }
        Stat::Call(call) => expression(call, false, see),
        Stat::Blocks { conditions, blocks } => {
            for condition in conditions {
                expression(condition, false, see);
            }
            for block in blocks {
                expressions(block, see);
            }
        }
        Stat::Return(values) => {
            for value in values {
                expression(value, false, see);
            }
        }
        Stat::Jump => {}
    }
}

fn expression<'a>(expr: &'a Expr, target: bool, see: &mut dyn FnMut(&'a Expr, bool)) {
    see(expr, target);
    match &expr.kind {
        Kind::Plain | Kind::Rest | Kind::String(_) | Kind::Name { .. } => {}
        Kind::Index { base, .. } => expression(base, false, see),
        Kind::IndexBy { base, key } => {
            expression(base, false, see);
            expression(key, false, see);
        }
        Kind::Call { callee, arguments } => {
            expression(callee, false, see);
            for argument in arguments {
                expression(argument, false, see);
            }
        }
        Kind::MethodCall {
            base, arguments, ..
        } => {
            expression(base, false, see);
            for argument in arguments {
                expression(argument, false, see);
            }
        }
        Kind::Function(function) => expressions(&function.body, see),
        Kind::Table(fields) => {
            for field in fields {
                if let Some(key) = &field.key {
                    expression(key, false, see);
                }
                expression(&field.value, false, see);
            }
        }
        Kind::Operands(operands) => {
            for operand in operands {
                expression(operand, false, see);
            }
        }
        Kind::Parentheses(inner) => expression(inner, false, see),
        Kind::Shared(inner) => expression(inner, false, see),
    }
}
