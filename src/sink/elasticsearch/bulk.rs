//! How requests look on their way, and what answers say.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::event::{StoreAction, StoreRequest};

/// The lines of a document in the body of a bulk request.
///
/// The type `_doc` goes without saying: servers since Elasticsearch 7 take no
/// other, and later ones refuse to hear of any.
pub fn lines(request: &StoreRequest, body: &mut String) {
    let (action, kind, id) = match &request.action {
        StoreAction::NewIndex => return,
        StoreAction::Insert { kind, id } => ("index", kind, id.as_ref()),
        StoreAction::Update { kind, id } => ("update", kind, Some(id)),
    };
    let mut target = serde_json::Map::new();
    target.insert("_index".to_owned(), request.index.as_str().into());
    if !kind.is_empty() && kind != "_doc" {
        target.insert("_type".to_owned(), kind.as_str().into());
    }
    if let Some(id) = id {
        target.insert("_id".to_owned(), id.as_str().into());
    }
    body.push_str(&serde_json::json!({ action: target }).to_string());
    body.push('\n');
    if action == "update" {
        body.push_str(&format!("{{\"doc\":{}}}", request.body));
    } else {
        body.push_str(&request.body);
    }
    body.push('\n');
}

/// Address of a server without name and password, and these as the value of
/// an `Authorization` header.
pub fn credentials(server: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = server.split_once("://") else {
        return (server.to_owned(), None);
    };
    let host_end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(host_end);
    match host.rsplit_once('@') {
        Some((user, host)) => (
            format!("{scheme}://{host}{path}"),
            Some(format!("Basic {}", BASE64_STANDARD.encode(user))),
        ),
        None => (server.to_owned(), None),
    }
}

/// What became of the documents of a bulk request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// Places of those that the server had no room for: to be sent again.
    pub busy: Vec<usize>,
    pub refused: u64,
    /// Why the first of the refused ones was.
    pub reason: Option<String>,
}

/// Reads the answer to a bulk request. One that cannot be read counts as
/// praise: the status said that it went well.
pub fn items(answer: &[u8]) -> Items {
    let mut found = Items::default();
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let list = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    for (place, item) in list.iter().enumerate() {
        let outcome = item.as_object().and_then(|item| item.values().next());
        let status = outcome.and_then(|outcome| outcome["status"].as_u64());
        match status {
            Some(429) => found.busy.push(place),
            Some(status) if status >= 300 => {
                found.refused += 1;
                let error = outcome.map(|outcome| &outcome["error"]);
                found
                    .reason
                    .get_or_insert_with(|| reason(error.unwrap_or(&Value::Null), status));
            }
            _ => {}
        }
    }
    found
}

/// Old servers give an error as text, later ones as an object.
fn reason(error: &Value, status: u64) -> String {
    let text = error["reason"].as_str().or_else(|| error.as_str());
    let text = text.unwrap_or("no reason given");
    let short: String = text.chars().take(200).collect();
    format!("status {status}: {short}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(action: StoreAction) -> StoreRequest {
        StoreRequest {
            server: "http://es".into(),
            index: "ips".into(),
            action,
            body: r#"{"a":1.0}"#.into(),
        }
    }

    fn text(action: StoreAction) -> String {
        let mut body = String::new();
        lines(&request(action), &mut body);
        body
    }

    #[test]
    fn a_document_takes_two_lines() {
        let insert = |kind: &str, id: Option<&str>| {
            text(StoreAction::Insert {
                kind: kind.into(),
                id: id.map(str::to_owned),
            })
        };
        assert_eq!(
            insert("alert", Some("7\"")),
            "{\"index\":{\"_id\":\"7\\\"\",\"_index\":\"ips\",\"_type\":\"alert\"}}\n{\"a\":1.0}\n"
        );
        assert_eq!(
            insert("_doc", None),
            "{\"index\":{\"_index\":\"ips\"}}\n{\"a\":1.0}\n"
        );
        let update = text(StoreAction::Update {
            kind: String::new(),
            id: "x".into(),
        });
        assert!(update.ends_with("\n{\"doc\":{\"a\":1.0}}\n"), "{update}");
        assert_eq!(text(StoreAction::NewIndex), "");
    }

    #[test]
    fn a_password_leaves_the_address() {
        assert_eq!(
            credentials("https://me:p@ss@es:9200/x"),
            (
                "https://es:9200/x".to_owned(),
                Some("Basic bWU6cEBzcw==".to_owned())
            )
        );
        assert_eq!(
            credentials("http://es/a@b"),
            ("http://es/a@b".to_owned(), None)
        );
    }

    #[test]
    fn answers_tell_busy_from_refused() {
        let answer = br#"{"errors":true,"items":[{"index":{"status":201}},
            {"index":{"status":429}},
            {"update":{"status":404,"error":{"type":"t","reason":"document missing"}}},
            {"index":{"status":400,"error":"old text"}}]}"#;
        let found = items(answer);
        assert_eq!((found.busy, found.refused), (vec![1], 2));
        assert_eq!(
            found.reason.as_deref(),
            Some("status 404: document missing")
        );
        assert_eq!(items(b"<html>"), Items::default());
        assert_eq!(items(br#"{"items":[7,{"index":{}}]}"#), Items::default());
    }
}
