//! Helper modules as rule files use them: `misc/geoip`, `misc/crypto`,
//! `misc/asm` and `misc/elasticsearch`.

#[path = "support/http.rs"]
mod http;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use http::Server;

/// Runs rules on a capture; DIR in them is a folder with what `files` holds.
fn replay(rules: &str, files: &[(&str, &[u8])], options: &[&str]) -> Output {
    let scratch = tempfile::tempdir().expect("there is room for temporary files");
    for (name, content) in files {
        fs::write(scratch.path().join(name), content).expect("the folder is writable");
    }
    let folder = scratch.path().display().to_string();
    let file = scratch.path().join("rules.lua");
    fs::write(&file, rules.replace("DIR", &folder)).expect("the folder is writable");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Command::new(env!("CARGO_BIN_EXE_wero"))
        .arg("replay")
        .args(options)
        .arg(&file)
        .arg(root.join("tests/captures/stream-plain-v4.pcap"))
        .output()
        .expect("wero runs")
}

/// Runs rules that must load and raise nothing; what they print.
fn says(rules: &str) -> String {
    let run = replay(rules, &[], &[]);
    let text = printed(&run);
    assert!(run.status.success(), "{text}");
    text
}

/// Standard output without what is said of files that register no rule.
fn printed(run: &Output) -> String {
    let text = String::from_utf8_lossy(&run.stdout);
    text.replace("warn  core: no registered rule\n\n", "")
}

/// `rules` after a function that shows what an error says.
fn with_failure(rules: &str) -> String {
    format!(
        "local function failure(f, ...)
           local ok, message = pcall(f, ...)
           print(ok and 'no error' or (tostring(message):gsub('^.*rules.lua:%d+: ', '')))
         end
         {rules}"
    )
}

#[test]
fn base64() {
    let text = says(&with_failure(
        r"local base64 = require('misc/crypto').base64
          print(base64.encode('any carnal pleas'), base64.decode('YW55IGNhcm5hbCBwbGVhcw=='))
          failure(base64.decode, 'Zg')
          failure(base64.decode, 'Zm9v\nZm9v')
          failure(base64.encode, {})
          failure(base64.encode, ('x'):rep(17 * 1024 * 1024))
          print(require('misc/crypto').base64 == base64)",
    ));
    let expected = "YW55IGNhcm5hbCBwbGVhcw== any carnal pleas
base64.decode: 2 characters are too few: at least 3 are needed
base64.decode: '\\n' at position 5 is no base64
bad argument #1 to 'encode' (string expected, got table)
base64.encode: 17825792 bytes are too many: at most 16777216 at once
true
";
    assert_eq!(text, expected);
}

#[test]
fn errors_name_the_line_of_the_rule() {
    let run = replay(
        "\nlocal crypto = require('misc/crypto')\ncrypto.base64.decode('?')\n",
        &[],
        &[],
    );
    let text = printed(&run);
    assert!(text.contains("rules.lua:3: base64.decode: "), "{text}");
}

#[test]
fn handles_of_databases_give_countries_and_nothing_else() {
    let mut database = vec![0; 6];
    // Below 128.0.0.0 all is in the US, above there is nothing.
    database[..3].copy_from_slice(&(0xff_ff00u32 + 225).to_le_bytes()[..3]);
    database[3..].copy_from_slice(&0xff_ff00u32.to_le_bytes()[..3]);
    database.extend(b"\xff\xff\xff\x01");
    let rules = with_failure(
        r"local geoip = require('misc/geoip')
          local ipv4, ip = require('protocol/ipv4'), require('protocol/ip')
          local handle = geoip.open('DIR/countries.dat')
          print(handle:country(ipv4.addr('8.8.8.8')), handle:country('200.0.0.1'),
            handle:country(ip.addr('2001:db8::1')), handle:lookup('8.8.8.8').country.iso_code)
          print(tostring(handle), getmetatable(handle), next(handle))
          failure(function () return handle.open end)
          failure(function () handle.country = 1 end)
          failure(handle.country, handle, 'nowhere')
          failure(handle.country, handle, 7)
          failure(handle.country, {}, '8.8.8.8')
          failure(geoip.open, 5)
          failure(geoip.open, '/dev/zero')
          failure(geoip.open, '/nonexistent')
          failure(geoip.open, 'DIR/rules.lua')",
    );
    let run = replay(&rules, &[("countries.dat", &database)], &[]);
    let text = printed(&run);
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default();
    assert_eq!(next(), "US nil nil US", "{text}");
    assert_eq!(next(), "geoip_handle geoip_handle nil");
    assert_eq!(next(), "unknown field 'open'");
    assert_eq!(next(), "This variable is immutable");
    assert_eq!(next(), "country: 'nowhere' is no IP address");
    assert_eq!(
        next(),
        "Error in country (arg 2), expected 'addr' got 'number'"
    );
    assert_eq!(
        next(),
        "Error in country (arg 1), expected 'geoip_handle' got 'table'"
    );
    assert_eq!(
        next(),
        "bad argument #1 to 'open' (string expected, got number)"
    );
    assert_eq!(
        next(),
        "cannot initialize geoip: /dev/zero: not a regular file"
    );
    assert!(next().starts_with("cannot initialize geoip: /nonexistent: "));
    assert!(next().ends_with("this is neither a MaxMind DB nor a GeoIP country database"));
}

#[test]
#[cfg(feature = "disassembler")]
fn dumps_have_columns() {
    let text = says(
        r"local asm = require('misc/asm')
          local x86 = asm.new_disassembler('x86', '32')
          x86:dump_instructions('\x90\x89\xd8\x0f')
          x86:dump_instructions(haka.vbuffer_from('\x90\x90\x90'):pos('begin'), 2)
          print(asm.CS_ARCH_X86)",
    );
    let operands = |text: &str| format!("{text:<32}");
    let expected = [
        format!("\t0x00000000 nop      {} 90", operands("")),
        format!("\t0x00000001 mov      {} 89 d8", operands("eax, ebx")),
        format!("\t0x00000003 (bad)    {} 0f", operands("")),
        format!("\t0x00000000 nop      {} 90", operands("")),
        format!("\t0x00000001 nop      {} 90", operands("")),
        "3".to_owned(),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

/// Bytes that are no instruction yet, one at a time: they are remembered
/// though the stream has given them away, and given up one after the other.
#[test]
#[cfg(feature = "disassembler")]
fn an_instruction_in_many_pieces_and_a_broken_one() {
    let text = says(
        r"local asm = require('misc/asm')
          local x86 = asm.new_disassembler('x86', '32')
          local stream = haka.vbuffer_stream()
          local manager = stream:getcomanager()
          manager:start(0, function (at)
            local inst = asm.new_instruction()
            while x86:disassemble(at, inst) do
              print(inst.address, inst.size, inst:mnemonic())
            end
          end)
          local code = '\xb8\x01\x02\x03\x04\x0f\xff\x90\x81'
          for i = 1, #code do
            local current = stream:push(haka.vbuffer_from(code:sub(i, i)))
            if i == #code then stream:finish() end
            manager:process_all(current)
            while stream:pop() do end
          end",
    );
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.first(), Some(&"0 5 mov"), "{text}");
    assert_eq!(lines.last(), Some(&"8 1 (bad)"), "{text}");
    let sizes = lines.iter().map(|line| {
        let size = line.split(' ').nth(1).expect("three columns");
        size.parse::<u64>().expect("a number")
    });
    assert_eq!(sizes.sum::<u64>(), 9, "{text}");
}

/// Each of these is stopped at the time budget, or refused; the run goes on.
#[test]
#[cfg(feature = "disassembler")]
fn runaways_are_stopped() {
    let body = [
        "local asm = require('misc/asm')
         local x86, inst = asm.new_disassembler('x86', '32'), asm.new_instruction()
         eval = function () while x86:disassemble('\\x90', inst) do end end",
        "local asm = require('misc/asm')
         eval = function () while true do asm.new_disassembler('arm', 'thumb') end end",
        "local base64 = require('misc/crypto').base64
         eval = function ()
           local text = 'x'
           while true do text = base64.encode(text) end
         end",
        "local base64, text = require('misc/crypto').base64, ('QUJD'):rep(1e6)
         eval = function () while true do pcall(base64.decode, text) end end",
        "local geoip = require('misc/geoip')
         eval = function () while true do pcall(geoip.open, '/dev/null') end end",
        "local server = require('misc/elasticsearch').connector('http://127.0.0.1:1')
         local loop = {}
         for i = 1, 1e5 do loop[i] = loop end
         eval = function () while true do pcall(server.insert, server, 'i', 't', nil, { loop }) end end",
    ];
    for body in body {
        let rules = format!(
            "require('protocol/tcp')
             local eval
             {body}
             haka.rule {{ on = haka.dissectors.tcp.events.receive_packet, eval = eval }}
             haka.rule {{ on = haka.events.exiting, eval = function () print('end of rules') end }}"
        );
        let text = printed(&replay(&rules, &[], &["--memory", "64MiB"]));
        let stopped = text.contains("stopped: used more than")
            || text.contains("are too many: at most")
            || text.contains("over the cap of");
        assert!(stopped && text.contains("end of rules"), "{body}: {text}");
    }
}

const DOCUMENTS: &str = r#"
local elasticsearch = require('misc/elasticsearch')
local ipv4 = require('protocol/ipv4')
local server = elasticsearch.connector('URL')
server:newindex('traffic', { mappings = { flow = { properties = { state = { type = 'keyword' } } } } })
local id = server:genid()
assert(#id == 22 and id ~= server:genid())
server:insert('traffic', 'flow', id, {
  src = ipv4.addr('10.0.0.1'), port = 80, share = 0.1, open = true, tags = { 'a"b\n', 'c' },
  nested = { deep = {} }, bytes = '\255', time = server:timestamp(haka.network_time()) })
server:update('traffic', 'flow', id, { state = 'closed' })
server:insert('traffic', 'flow', nil, { n = 1e300 })
"#;

#[test]
fn documents_arrive_as_json() {
    let server = Server::start(|_, _| (200, r#"{"errors":false}"#.to_owned()));
    for workers in ["1", "2"] {
        let before = server.requests().len();
        let rules = DOCUMENTS.replace("URL", &server.url);
        let run = replay(&rules, &[], &["--workers", workers]);
        let text = printed(&run);
        assert!(run.status.success() && text.is_empty(), "{text}");
        let seen = server.requests().split_off(before);
        assert_eq!(seen[0].line, "PUT /traffic");
        assert_eq!(seen[0].header("content-type"), Some("application/json"));
        let bodies: String = seen[1..]
            .iter()
            .map(|request| request.body.as_str())
            .collect();
        let lines: Vec<serde_json::Value> = bodies
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is JSON"))
            .collect();
        // Rules that several workers load speak once.
        assert_eq!(lines.len(), 6, "{bodies}");
        let head = &lines[0]["index"];
        assert_eq!(
            (&head["_index"], &head["_type"]),
            (&"traffic".into(), &"flow".into())
        );
        let document = &lines[1];
        assert_eq!(document["src"], "10.0.0.1");
        assert!(
            bodies.contains("\"port\":80.0,"),
            "numbers are reals: {bodies}"
        );
        assert_eq!(document["share"], 0.1);
        assert_eq!(document["tags"], serde_json::json!(["a\"b\n", "c"]));
        assert_eq!(document["nested"], serde_json::json!({ "deep": {} }));
        assert_eq!(document["bytes"], "\u{fffd}");
        assert_eq!(document["time"], "1970/01/01 00:00:00");
        assert_eq!(lines[2]["update"]["_id"], head["_id"]);
        assert_eq!(
            lines[3],
            serde_json::json!({ "doc": { "state": "closed" } })
        );
        assert_eq!(lines[4]["index"]["_id"].as_str().map(str::len), Some(22));
        assert_eq!(lines[5]["n"], 1e300);
    }
}

#[test]
fn documents_that_cannot_be_stored_are_errors() {
    let text = says(&with_failure(
        r"local elasticsearch = require('misc/elasticsearch')
          failure(elasticsearch.connector)
          failure(elasticsearch.connector, 'ftp://x')
          local server = elasticsearch.connector('http://127.0.0.1:1')
          local function insert(document) failure(server.insert, server, 'i', 't', nil, document) end
          insert(nil)
          insert { f = print }
          insert { list = { 1, 2, x = 3 } }
          insert { list = { [5] = 1 } }
          insert { n = 0 / 0 }
          local loop = {}
          loop.again = loop
          insert(loop)
          insert { text = ('x'):rep(2e6) }
          failure(server.insert, server, '../_all', 't', nil, {})
          failure(server.update, server, 'i', 't', nil, {})
          failure(server.newindex, server, 'i')
          failure(server.timestamp, server, 5)
          failure(server.genid, {})
          failure(function () return server.close end)",
    ));
    let expected = [
        "invalid parameter: the server must be a string, not a nil",
        "invalid parameter: 'ftp://x' is no address of a server; write it as http://host:9200",
        "invalid parameter: the document must be a table, not a nil",
        "invalid parameter: 'document.f' is a function, which cannot be stored",
        "invalid parameter: 'document.list' is an array with holes or with other keys",
        "invalid parameter: 'document.list' has numbers for keys; an array has 1 to n",
        "invalid parameter: 'document.n' is not finite",
    ];
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..expected.len()], expected, "{text}");
    let rest = &lines[expected.len()..];
    assert!(
        rest[0].ends_with("is nested too deep, or contains itself"),
        "{text}"
    );
    let expected = [
        "invalid parameter: the document is larger than 1 MiB",
        "invalid parameter: '../_all' is no name of an index",
        "invalid parameter: id must be a string, not a nil",
        "invalid parameter: the document must be a table, not a nil",
        "invalid parameter: expected a time, got a number",
        "invalid elasticsearch connector",
        "unknown field 'close'",
    ];
    assert_eq!(rest[1..], expected, "{text}");
}

#[test]
fn a_server_that_is_down_is_told_once_and_stops_nothing() {
    let rules = r"
        local elasticsearch = require('misc/elasticsearch')
        require('protocol/tcp')
        local server = elasticsearch.connector('http://127.0.0.1:1')
        haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (packet)
          server:insert('traffic', 'packet', nil, { port = packet.srcport })
        end }
        haka.rule { on = haka.events.exiting, eval = function () print('end of rules') end }";
    let run = replay(rules, &[], &[]);
    let text = printed(&run);
    assert!(run.status.success(), "{text}");
    assert!(text.contains("end of rules"), "{text}");
    assert_eq!(text.matches("request failed: ").count(), 1, "{text}");
    assert!(text.contains("documents were not stored"), "{text}");
}
