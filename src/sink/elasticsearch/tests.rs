use std::time::{Duration, Instant};

use super::*;

#[path = "../../../tests/support/http.rs"]
mod http;

use http::Server;

const ONE: Duration = Duration::from_millis(1);

fn hasty() -> Limits {
    Limits {
        patience: Duration::from_secs(2),
        timeout: Duration::from_secs(2),
        tries: 4,
        back_off: ONE,
        longest_back_off: ONE * 4,
        closing: Duration::from_secs(5),
        ..Limits::default()
    }
}

fn insert(server: &str, id: usize) -> StoreRequest {
    StoreRequest {
        server: server.to_owned(),
        index: "ips".to_owned(),
        action: StoreAction::Insert {
            kind: "alert".to_owned(),
            id: Some(id.to_string()),
        },
        body: "{}".to_owned(),
    }
}

fn new_index(server: &str) -> StoreRequest {
    StoreRequest {
        action: StoreAction::NewIndex,
        body: r#"{"mappings":{}}"#.to_owned(),
        ..insert(server, 0)
    }
}

fn store(limits: Limits, requests: impl IntoIterator<Item = StoreRequest>) -> Vec<String> {
    let documents = Elasticsearch::start(limits).expect("room for a thread");
    for request in requests {
        documents.add(request);
    }
    documents.close()
}

/// The ids in the bodies of bulk requests, in order.
fn ids(server: &Server) -> Vec<usize> {
    let bodies = server.requests().into_iter().map(|request| request.body);
    let id = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("lines are JSON");
        value["index"]["_id"].as_str()?.parse().ok()
    };
    bodies
        .flat_map(|body| body.lines().filter_map(id).collect::<Vec<_>>())
        .collect()
}

#[test]
fn documents_go_in_order_and_in_bulk() {
    let server = Server::start(|_, _| (200, r#"{"errors":false}"#.to_owned()));
    let mut requests = vec![new_index(&server.url)];
    requests.extend((0..2500).map(|id| insert(&server.url, id)));
    assert_eq!(store(hasty(), requests), [""; 0]);
    let seen = server.requests();
    assert_eq!(seen[0].line, "PUT /ips");
    assert_eq!(seen[0].body, r#"{"mappings":{}}"#);
    assert!(
        seen[1..]
            .iter()
            .all(|request| request.line == "POST /_bulk")
    );
    assert_eq!(seen[1].header("content-type"), Some("application/x-ndjson"));
    assert!(seen.len() < 60, "{} requests", seen.len());
    assert_eq!(ids(&server), (0..2500).collect::<Vec<_>>());
}

#[test]
fn a_busy_server_is_asked_again_and_a_document_is_not_lost() {
    let server = Server::start(|number, _| match number {
        0 => (503, String::new()),
        1 => (
            200,
            r#"{"items":[{"index":{"status":429}},{"index":{"status":201}}]}"#.to_owned(),
        ),
        _ => (200, "{}".to_owned()),
    });
    let two = (1..=2).map(|id| insert(&server.url, id));
    let notices = store(hasty(), two);
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(
        notices[0].contains("/_bulk return error 503"),
        "{notices:?}"
    );
    let sent = ids(&server);
    assert!(
        sent.contains(&2) && sent.iter().filter(|id| **id == 1).count() >= 2,
        "{sent:?}"
    );
}

#[test]
fn what_the_server_refuses_is_told_once_and_counted() {
    let answer = r#"{"items":[{"index":{"status":400,"error":{"reason":"no such field"}}}]}"#;
    let server = Server::start(move |_, _| (200, answer.to_owned()));
    let limits = Limits {
        batch: 1,
        ..hasty()
    };
    let notices = store(limits, (0..3).map(|id| insert(&server.url, id)));
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices[0].contains("no such field"), "{notices:?}");
    assert_eq!(notices[1], "3 documents were not stored");
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn an_index_that_exists_is_no_error_and_other_refusals_are() {
    let reason = r#"{"error":{"type":"resource_already_exists_exception"}}"#;
    let server = Server::start(move |_, _| (400, reason.to_owned()));
    assert_eq!(store(hasty(), [new_index(&server.url)]), [""; 0]);
    let server = Server::start(|_, _| (401, String::new()));
    let notices = store(hasty(), [new_index(&server.url)]);
    assert!(
        notices[0].contains("return error 401; write name and password"),
        "{notices:?}"
    );
}

#[test]
fn name_and_password_go_into_a_header() {
    let server = Server::start(|_, _| (200, "{}".to_owned()));
    let address = server.url.replace("http://", "http://me:secret@");
    assert_eq!(store(hasty(), [insert(&address, 1)]), [""; 0]);
    let seen = server.requests();
    assert_eq!(seen[0].header("authorization"), Some("Basic bWU6c2VjcmV0"));
}

#[test]
fn a_server_that_is_not_there_costs_a_bounded_time() {
    // Nobody listens on the port of a listener that is gone.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", gone.local_addr().expect("bound"));
    drop(gone);
    let start = Instant::now();
    let notices = store(hasty(), (0..10).map(|id| insert(&url, id)));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(notices[0].contains("is the server up"), "{notices:?}");
    assert_eq!(
        notices.last().map(String::as_str),
        Some("10 documents were not stored")
    );
}

#[test]
fn a_silent_server_does_not_hold_up_the_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let limits = Limits {
        closing: Duration::from_millis(300),
        ..hasty()
    };
    let start = Instant::now();
    let notices = store(limits, [insert(&url, 1)]);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        notices.last().map(String::as_str),
        Some("1 documents were not stored")
    );
}

#[test]
fn a_full_queue_drops_and_says_so() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_millis(200));
        (200, "{}".to_owned())
    });
    let limits = Limits {
        waiting: 2,
        patience: Duration::ZERO,
        ..hasty()
    };
    let notices = store(limits, (0..10).map(|id| insert(&server.url, id)));
    assert_eq!(notices[0].split(',').next(), Some("documents are dropped"));
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(ids(&server).len() < 10);
}

#[test]
fn adding_waits_while_the_server_keeps_up() {
    let server = Server::start(|_, _| (200, "{}".to_owned()));
    let limits = Limits {
        waiting: 4,
        batch: 2,
        ..hasty()
    };
    assert_eq!(
        store(limits, (0..200).map(|id| insert(&server.url, id))),
        [""; 0]
    );
    assert_eq!(ids(&server), (0..200).collect::<Vec<_>>());
}
