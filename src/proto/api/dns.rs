//! DNS messages, their questions and records.

use super::{Argument, Object, arg, method, property, writable};

const RECORD: &[Argument] = &[arg("record", "table")];
const WHICH: &[Argument] = &[arg("which", "integer|dns_record")];

/// Methods of the lists of a message.
macro_rules! list {
    ($name:literal, $doc:literal) => {
        Object::new(
            $name,
            $doc,
            &[
                method("append", RECORD, "dns_record", "Adds a record: `ip`, or `type` and `data` in master-file form; `name` (the question's), `ttl` (60), `class` (1)."),
                method("remove", WHICH, "nil", "Takes a record out, by its place or itself."),
                method("clear", &[], "nil", "Takes all records out."),
            ],
        )
    };
}

pub const OBJECTS: &[Object] = &[
    Object::new(
        "protocol.dns",
        "DNS over UDP and TCP, multicast DNS and LLMNR; loads the dissector `dns`.",
        &[],
    )
    .module("protocol/dns"),
    Object::new(
        "dns",
        "The DNS of a flow; what it does not know itself is read from the flow.",
        &[
            property("name", "string", "Name of the dissector."),
            method("drop", &[], "nil", "Drops the flow."),
            method("error", &[], "nil", "What happens on an error: `drop`."),
            method("reset", &[], "nil", "Resets the connection, over TCP."),
            method("can_continue", &[], "boolean", "Whether the flow is not over."),
            method("continue", &[], "nil", "Ends the delivery of the event if the flow is over."),
            method("parent", &[arg("which", "integer|string?")], "any", "The flow, or what lies below it."),
            method("trigger", &[arg("event", "string"), arg("...", "any")], "nil", "Raises an event of its dissector."),
            method("alert", &[arg("alert", "table")], "alert_handle", "Raises an alert."),
        ],
    )
    .over(&["udp_connection"])
    .open(),
    Object::new(
        "dns_message",
        "A query or response. A query can be changed until it has left.",
        &[
            writable("id", "integer", "Number by which a response finds its query."),
            writable("qr", "boolean", "It is a response."),
            writable("opcode", "integer", "0 query, 4 notify, 5 update."),
            writable("aa", "boolean", "The server is an authority for the name."),
            writable("tc", "boolean", "It was cut to fit."),
            writable("rd", "boolean", "Recursion is wanted."),
            writable("ra", "boolean", "Recursion is there."),
            writable("ad", "boolean", "The data are authentic (DNSSEC)."),
            writable("cd", "boolean", "They need not be checked."),
            writable("rcode", "integer", "0 no error, 3 no such name; names such as `'NXDOMAIN'` can be written."),
            writable("qdcount", "integer", "Number of questions; counted anew when records come or go."),
            writable("ancount", "integer", "Number of answers."),
            writable("nscount", "integer", "Number of records of authority."),
            writable("arcount", "integer", "Number of additional records."),
            property("question", "dns_question?", "The first question."),
            property("questions", "dns_questions", "All questions."),
            property("answer", "dns_records", "The answers."),
            property("authority", "dns_records", "Servers that know more."),
            property("additional", "dns_records", "What else is of use, and EDNS (type `OPT`)."),
            method("drop", &[], "nil", "Drops the message: its datagram, or its bytes of the stream."),
            method("nxdomain", &[], "nil", "Makes it a response that there is no such name."),
            method("reply", &[arg("fields", "table?")], "dns_message", "Answers a query in the server's place: `ip` (one or a list), `ttl`, `rcode`. The query is dropped."),
        ],
    )
    .open(),
    Object::new(
        "dns_question",
        "What is asked for.",
        &[
            writable("name", "string", "The name, with its last dot."),
            writable("owner", "string", "The same."),
            writable("type", "string|integer", "Type by name, or its number where it has none."),
            writable("class", "integer", "1 for the Internet."),
        ],
    )
    .open(),
    Object::new(
        "dns_record",
        "A record. Fields that its type does not have are nil.",
        &[
            writable("name", "string", "The target where the data are one name, as in Haka (NS, CNAME, PTR, MX and their like), else the owner."),
            writable("owner", "string", "Whose record it is."),
            writable("target", "string?", "The name in the data (CNAME, NS, PTR, MX, SRV, DNAME, SVCB, HTTPS)."),
            property("type", "string|integer", "Type by name, or its number where it has none."),
            writable("class", "integer", "1 for the Internet; of OPT the size of datagrams."),
            writable("ttl", "integer", "Seconds that it may be kept."),
            property("length", "integer", "Bytes of the data."),
            writable("ip", "addr?", "The address (A, AAAA, WKS)."),
            writable("rdata", "string", "The data in master-file form; writable for types without binary parts, and as `\\# LENGTH HEX`."),
            property("data", "any", "Bytes of TXT with their lengths; a buffer for NULL."),
            property("text", "string?", "The strings of TXT, joined."),
            property("unknown", "vbuffer_sub?", "A copy of the data of types that Haka did not know."),
            property("ports", "vbuffer_sub?", "Bits of ports (WKS)."),
            property("proto", "integer?", "Protocol (WKS)."),
            property("pref", "integer?", "Preference (MX)."),
            property("mname", "string?", "Primary server (SOA)."),
            property("rname", "string?", "Mailbox of who is responsible (SOA, MINFO)."),
            property("ename", "string?", "Mailbox for errors (MINFO)."),
            property("serial", "integer?", "Version of the zone (SOA)."),
            property("refresh", "integer?", "Seconds (SOA)."),
            property("retry", "integer?", "Seconds (SOA)."),
            property("expire", "integer?", "Seconds (SOA)."),
            property("minimum", "integer?", "Seconds (SOA)."),
            property("cpu", "string?", "Kind of machine (HINFO)."),
            property("os", "string?", "Its system (HINFO)."),
            property("priority", "integer?", "Lower comes first (SRV, SVCB, HTTPS)."),
            property("weight", "integer?", "Share among equals (SRV)."),
            property("port", "integer?", "Port (SRV)."),
            property("parameters", "string?", "Parameters as text (SVCB, HTTPS)."),
            property("order", "integer?", "Order (NAPTR)."),
            property("preference", "integer?", "Preference (NAPTR)."),
            property("service", "string?", "Service (NAPTR)."),
            property("regexp", "string?", "Rewriting expression (NAPTR)."),
            property("flags", "string|integer|nil", "Flags (NAPTR, DNSKEY, CAA)."),
            property("tag", "string?", "Property (CAA)."),
            property("value", "string?", "Its value (CAA)."),
            property("key_tag", "integer?", "Number of the key (DS, RRSIG)."),
            property("algorithm", "integer?", "Algorithm (DS, DNSKEY, RRSIG)."),
            property("digest_type", "integer?", "Kind of digest (DS)."),
            property("digest", "string?", "Digest in hexadecimal (DS)."),
            property("protocol", "integer?", "3 (DNSKEY)."),
            property("key", "string?", "Key in Base64 (DNSKEY)."),
            property("covered", "string?", "Type that is signed (RRSIG)."),
            property("labels", "integer?", "Labels of the owner (RRSIG)."),
            property("original_ttl", "integer?", "TTL that was signed (RRSIG)."),
            property("expiration", "string?", "End of the signature (RRSIG)."),
            property("inception", "string?", "Its beginning (RRSIG)."),
            property("signer", "string?", "Who signed (RRSIG)."),
            property("signature", "string?", "In Base64 (RRSIG)."),
            property("next_name", "string?", "The next name that exists (NSEC)."),
            property("types", "string?", "Types that the owner has (NSEC)."),
        ],
    )
    .open(),
    list!("dns_records", "A list of records: `#list`, `list[i]`, `ipairs`."),
    list!("dns_questions", "A list of questions."),
];
