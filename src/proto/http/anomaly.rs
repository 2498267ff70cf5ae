//! What is wrong with a message: named, described, and what becomes of it.
//!
//! Two readers that take the same bytes for different messages are how
//! requests are smuggled past an inspection. Each way of writing such a
//! message has a name here, a text for its alert, and one of two natures: an
//! ambiguity can be read on with the reading that `read_as` states, an error
//! leaves no reading. The policy `haka.dissectors.http.policies.anomaly`
//! decides; its defaults are the columns below.
//! Not here: who asks the policy (`step`).

/// Whether reading can go on behind an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// There is a reading; see `read_as`.
    Ambiguity,
    /// The rest of the connection cannot be read.
    Error,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub anomaly: Anomaly,
    /// As the policy's criterion `anomaly` and the counters have it.
    pub name: &'static str,
    pub nature: Nature,
    /// Refused by default in the profile `haka`; `wero` refuses them all.
    pub refused_by_haka: bool,
    /// Description of the alert.
    pub alert: &'static str,
    /// What it is, and how it is read when the policy accepts it.
    pub doc: &'static str,
}

macro_rules! anomalies {
    ($($name:ident = $text:literal $nature:ident $haka:literal $alert:literal $doc:literal;)*) => {
        /// A way in which a message is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Anomaly { $(#[doc = $doc] $name,)* }

        /// All anomalies, by their number.
        pub const ANOMALIES: &[Row] = &[
            $(Row {
                anomaly: Anomaly::$name, name: $text, nature: Nature::$nature,
                refused_by_haka: $haka, alert: $alert, doc: $doc,
            },)*
        ];
    };
}

anomalies! {
    RequestLine = "request-line" Error true "invalid http request_line"
        "A request line that is none.";
    ResponseLine = "response-line" Error true "invalid http response_line"
        "A status line that is none.";
    Version = "version" Error true "invalid http version"
        "No protocol version where one must stand.";
    Status = "status" Error true "invalid http status"
        "No status of three digits where one must stand.";
    Header = "header" Error true "invalid http header"
        "A header line without a name or colon, or one that the stream ends in.";
    BareCr = "bare-cr" Error true "invalid http header"
        "A CR that no LF follows: some take it for the end of the line.";
    SpaceBeforeColon = "space-before-colon" Ambiguity true "invalid http header"
        "Blanks between a header's name and its colon; read as if they were not there.";
    ObsFold = "obs-fold" Ambiguity false "invalid http header"
        "A header value that goes on in the next line; read as one value, line end and blanks included.";
    HeaderName = "header-name" Ambiguity false "invalid http header"
        "Control characters or bytes above 127 in a header's name; read as they are.";
    NulInHeader = "nul-in-header" Ambiguity false "invalid http header"
        "A NUL in a header's value; read as it is.";
    Method = "method" Ambiguity false "invalid http request_line"
        "A method with characters that no method has; read as it is.";
    ContentLength = "content-length" Error true "invalid http headers"
        "A Content-Length that is no number, or beyond any message.";
    NegativeLength = "negative-length" Error true "invalid http body"
        "A Content-Length below zero.";
    DifferingLengths = "differing-lengths" Ambiguity false "invalid http headers"
        "Several Content-Length headers that differ; the last one counts.";
    BothLengths = "both-lengths" Ambiguity false "invalid http headers"
        "Content-Length and Transfer-Encoding in one message; the chunks count.";
    TransferEncoding = "transfer-encoding" Ambiguity false "invalid http headers"
        "A Transfer-Encoding of a request that does not end in `chunked`, or one that names it twice; read as without.";
    ChunkLine = "chunk-line" Error true "invalid http chunk_line"
        "A chunk without a size, or one that the stream ends in.";
    ChunkOverflow = "chunk-overflow" Error true "invalid http chunk_line"
        "A chunk size beyond any message.";
    ChunkEnd = "chunk-end" Error true "invalid http chunk_end_crlf"
        "A chunk longer than its size says.";
    DataFromClient = "data-from-client" Error true "http: unexpected data from client"
        "Bytes of the client where none may be.";
    DataFromServer = "data-from-server" Error true "http: unexpected data from server"
        "An answer that no request asked for.";
    LineTooLong = "line-too-long" Error true "http: line too long"
        "A line longer than `http_line_bytes`.";
    HeadTooLong = "head-too-long" Error true "http: headers too long"
        "A head longer than `http_head_bytes`.";
    TooManyHeaders = "too-many-headers" Error true "http: too many headers"
        "More than `http_headers` headers in one message.";
    TooManyRequests = "too-many-requests" Error true "http: too many requests without an answer"
        "More than `http_requests` requests that wait for their answer.";
    Unreadable = "unreadable" Error true "http: bytes that could not be kept"
        "The buffers are full: the dissector did not see all bytes.";
}

impl Anomaly {
    /// Its row in the table.
    pub fn row(self) -> &'static Row {
        &ANOMALIES[self as usize]
    }

    /// The one with that number.
    pub fn from_number(number: u32) -> Option<Anomaly> {
        ANOMALIES.get(number as usize).map(|row| row.anomaly)
    }
}

/// A set of anomalies, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies(u32);

const _: () = assert!(ANOMALIES.len() <= 32, "one bit per anomaly");

impl Anomalies {
    /// Adds one.
    pub fn add(&mut self, anomaly: Anomaly) {
        self.0 |= 1 << anomaly as u32;
    }

    /// Takes the first one out.
    pub fn take(&mut self) -> Option<Anomaly> {
        if self.0 == 0 {
            return None;
        }
        let first = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Anomaly::from_number(first)
    }
}

/// An error: what, and where in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub anomaly: Anomaly,
    /// Offset in the message.
    pub at: u64,
    /// The part that was expected there, by name or place in its line.
    pub field: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_number_and_have_names_of_their_own() {
        for (number, row) in ANOMALIES.iter().enumerate() {
            assert_eq!(row.anomaly as usize, number);
            assert_eq!(Anomaly::from_number(number as u32), Some(row.anomaly));
            let others = ANOMALIES.iter().filter(|other| other.name == row.name);
            assert_eq!(others.count(), 1, "{}", row.name);
            // What cannot be read is never let through as if it were.
            assert!(
                row.nature == Nature::Ambiguity || row.refused_by_haka,
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn a_set_gives_back_what_was_added_once() {
        let mut set = Anomalies::default();
        for anomaly in [Anomaly::BothLengths, Anomaly::Method, Anomaly::BothLengths] {
            set.add(anomaly);
        }
        assert_eq!(set.take(), Some(Anomaly::Method));
        assert_eq!(set.take(), Some(Anomaly::BothLengths));
        assert_eq!(set.take(), None);
    }
}
