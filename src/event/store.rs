//! Requests of rules to a document store: Elasticsearch or OpenSearch.
//!
//! Documents are JSON text already. How they travel is for who takes them.

/// One request, to be sent in order with those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRequest {
    /// Address of the server: scheme, host, port, perhaps a path, no `/` at
    /// its end.
    pub server: String,
    pub index: String,
    pub action: StoreAction,
    /// The settings of an index, or a document: one line of JSON.
    pub body: String,
}

/// What to do with the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAction {
    /// Makes an index; one that is there stays as it is.
    NewIndex,
    /// Stores a document, in place of one with that id.
    Insert { kind: String, id: Option<String> },
    /// Changes the given fields of a document.
    Update { kind: String, id: String },
}

impl StoreRequest {
    /// About how many bytes it takes, in memory and on its way.
    pub fn size(&self) -> usize {
        let names = match &self.action {
            StoreAction::NewIndex => 0,
            StoreAction::Insert { kind, id } => kind.len() + id.as_ref().map_or(0, String::len),
            StoreAction::Update { kind, id } => kind.len() + id.len(),
        };
        128 + self.server.len() + self.index.len() + self.body.len() + names
    }
}
