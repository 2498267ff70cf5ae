//! Objects of packets, flows and messages: one for all events that show it,
//! whether the library kept it or not.

#[path = "support/rig.rs"]
mod rig;

use std::path::Path;

use rig::{Rig, read_capture};
use wero::event::{Profile, Settings};
use wero::lua::Limits;
use wero::time::Timestamp;

/// Often enough that what runs per packet is compiled.
const PASSES: u64 = 1000;

/// What rules print at the end of a capture that is replayed many times, an
/// hour after each other.
fn printed(rules: &str, capture: &str) -> String {
    let settings = Settings::new(Profile::Wero);
    let mut rig = Rig::load(rules, &[], settings, Limits::default())
        .unwrap_or_else(|(error, _)| panic!("{error}"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = match capture.contains('/') {
        true => folder.join(capture),
        false => folder
            .join("tests/captures")
            .join(format!("{capture}.pcap")),
    };
    let (link, packets) = read_capture(&file);
    rig.started();
    let mut id = 0;
    for pass in 0..PASSES {
        for (time, bytes) in &packets {
            id += 1;
            let time = Timestamp(time.0 + pass as i64 * 3_600_000_000_000);
            rig.packet(id, time, link, bytes);
        }
    }
    rig.shutdown();
    rig.exiting();
    let said = rig.into_said();
    assert_eq!(said.errors(), Vec::<&str>::new());
    said.printed.trim().to_owned()
}

#[test]
fn a_packet_is_the_same_key_in_all_events_that_show_it() {
    let rules = "
        require('protocol/udp')
        local known, found, below, all = {}, 0, 0, 0
        haka.rule { on = haka.dissectors.ipv4.events.receive_packet,
          eval = function (pkt) known[pkt] = true end }
        haka.rule { on = haka.dissectors.udp.events.receive_packet,
          eval = function (pkt)
            all = all + 1
            if known[pkt:parent()] then below = below + 1 end
            known[pkt] = true
          end }
        haka.rule { on = haka.dissectors.udp.events.send_packet,
          eval = function (pkt) if known[pkt] then found = found + 1 end end }
        haka.on_exit(function () print(all > 0, found == all, below == all) end)";
    assert_eq!(printed(rules, "datagrams-v4"), "true true true");
}

/// Memory that objects would take which a rule only reads.
#[test]
fn objects_that_rules_only_read_are_not_made() {
    for (module, event, read) in [
        ("udp", "receive_packet", "first.srcport + first.length"),
        (
            "tcp",
            "receive_packet",
            "first.srcport + (first.flags.syn and 1 or 0)",
        ),
        (
            "udp_connection",
            "new_connection",
            "first.srcport + second.length",
        ),
    ] {
        // Reading elsewhere makes no difference.
        let ends = match module.ends_with("connection") {
            true => format!(
                "haka.rule {{ on = haka.dissectors.{module}.events.end_connection,
                  eval = function (flow) sum = sum + flow.id - flow.srcport end }}"
            ),
            false => String::new(),
        };
        let rules = format!(
            "require('protocol/{module}')
            local sum, seen, before = 0, 0, 0
            {ends}
            haka.rule {{ on = haka.dissectors.{module}.events.{event}, eval = function (first, second)
              sum, seen = sum + {read}, seen + 1
              if seen == 500 then
                collectgarbage('stop')
                before = collectgarbage('count')
              elseif seen == 700 then
                print((collectgarbage('count') - before) * 1024 / 200)
              end
            end }}"
        );
        let capture = match module {
            "tcp" | "tcp_connection" => "stream-plain-v6",
            _ => "datagrams-v4",
        };
        let bytes = printed(&rules, capture);
        let bytes: f64 = bytes.parse().unwrap_or_else(|_| panic!("{bytes}"));
        assert!(bytes < 16.0, "{module}: {bytes} bytes a packet");
    }
}

/// A rule may let go of an object in many ways.
#[test]
fn what_leaves_a_rule_is_the_same_object_in_other_events() {
    for how in [
        "kept[flow] = true",
        "local own = flow kept[own] = true",
        "last = flow kept[last] = true",
        "local function inner() kept[flow] = true end inner()",
        "(function (...) local own = ... kept[own] = true end)(flow)",
        "local list = { flow } kept[list[1]] = true",
        "local list = { own = flow } kept[list.own] = true",
        "kept[flow:parent(0)] = true",
        "kept[flow:parent(1) and select(1, flow)] = true",
        "local own = flow.dstport > 0 and flow kept[own] = true",
        "for _, own in ipairs { flow } do kept[own] = true end",
        "coroutine.wrap(function (own) kept[own] = true end)(flow)",
        "local function id(own) return own end kept[id(flow)] = true",
        "rawset(kept, flow, true)",
        "if flow.srcport then kept[flow] = flow.srcport else flow = nil end",
        "mark(flow)",
    ] {
        let rules = format!(
            "require('protocol/udp_connection')
            local events = haka.dissectors.udp_connection.events
            local kept, last, found, missed = {{}}, nil, 0, 0
            local function mark(own) kept[own] = true end
            haka.rule {{ on = events.new_connection, eval = function (flow) {how} end }}
            haka.rule {{ on = events.receive_data, eval = function (flow)
              if kept[flow] then found = found + 1 else missed = missed + 1 end
            end }}
            haka.on_exit(function () print(found > 0, missed) end)"
        );
        assert_eq!(printed(&rules, "datagrams-v4"), "true 0", "{how}");
    }
}

#[test]
fn a_listener_that_comes_in_the_same_event_sees_the_same_objects() {
    let rules = "
        require('protocol/udp_connection')
        local events = haka.dissectors.udp_connection.events
        local seen, late, found = {}, false, {}
        haka.rule { on = events.new_connection, eval = function (flow, pkt)
          if late then return end
          late = true
          seen[pkt] = true
          haka.rule { on = events.new_connection, eval = function (flow) seen[flow] = true end }
          haka.rule { on = events.receive_packet, eval = function (flow, pkt)
            if #found < 2 then found[#found + 1] = seen[flow] and 'flow' or 'other' end
            if #found < 2 then found[#found + 1] = seen[pkt] and 'packet' or 'other' end
          end }
          haka.rule { on = events.end_connection, eval = function (flow)
            if not seen[flow] then found[#found + 1] = 'lost' end
          end }
        end }
        haka.on_exit(function () print(table.concat(found, ' ')) end)";
    assert_eq!(printed(rules, "datagrams-v4"), "flow packet");
}

/// Rules that only read find what others store.
#[test]
fn readers_do_not_hide_what_others_store() {
    let rules = "
        require('protocol/udp_connection')
        local events = haka.dissectors.udp_connection.events
        local ports, right, all = 0, 0, 0
        haka.rule { on = events.receive_data, eval = function (flow) ports = ports + flow.srcport end }
        haka.rule { on = events.new_connection, eval = function (flow) flow.mark = flow.srcport end }
        haka.rule { on = events.end_connection, eval = function (flow)
          all = all + 1
          if flow.mark == flow.srcport then right = right + 1 end
        end }
        haka.on_exit(function () print(all > 0, ports > 0, all == right) end)";
    assert_eq!(printed(rules, "datagrams-v4"), "true true true");
}

#[test]
fn what_a_rule_stores_is_found_by_the_next_one() {
    let rules = "
        require('protocol/udp_connection')
        local events = haka.dissectors.udp_connection.events
        local all, right, kept = 0, 0, {}
        haka.rule { on = events.new_connection, eval = function (flow, pkt)
          flow.mark = flow.id
          pkt.mark = pkt.srcport
          kept[#kept + 1] = flow
        end }
        haka.rule { on = events.new_connection, eval = function (flow, pkt)
          all = all + 1
          if flow.mark == flow.id and pkt.mark == pkt.srcport and kept[#kept] == flow then
            right = right + 1
          end
        end }
        haka.on_exit(function () print(all > 0, right == all) end)";
    assert_eq!(printed(rules, "datagrams-v4"), "true true");
}

#[test]
fn an_object_that_one_event_shows_is_equal_to_itself_elsewhere() {
    let rules = "
        require('protocol/tcp')
        local all, right = 0, 0
        local last
        haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
          all = all + 1
          if pkt ~= last and pkt == pkt and pkt:parent() == pkt:parent() and pkt ~= pkt:parent() then
            right = right + 1
          end
          last = pkt
        end }
        haka.on_exit(function () print(all > 0, right == all) end)";
    assert_eq!(printed(rules, "stream-plain-v4"), "true true");
    assert_eq!(printed(rules, "stream-plain-v6"), "true true");
}

#[test]
fn a_listener_that_comes_later_finds_flows_as_keys() {
    let rules = "
        require('protocol/udp_connection')
        local events = haka.dissectors.udp_connection.events
        local known, ended, missed, late = {}, 0, 0, false
        haka.rule { on = events.new_connection, eval = function (flow)
          if not late then
            late = true
            haka.rule { on = events.end_connection, eval = function (flow)
              if known[flow] then ended = ended + 1 else missed = missed + 1 end
              known[flow] = nil
            end }
            return
          end
          known[flow] = true
        end }
        haka.on_exit(function () print(ended > 0, missed) end)";
    // The first flow came before anybody could look for it.
    assert_eq!(printed(rules, "datagrams-v4"), "true 1");
}

#[test]
fn a_policy_that_comes_later_finds_flows_as_keys() {
    let rules = "
        require('protocol/udp_connection')
        local connection = haka.dissectors.udp_connection
        local known, found, missed = {}, 0, 0
        haka.rule { on = connection.events.new_connection, eval = function (flow)
          known[flow] = true
          if next(known, next(known)) == nil then
            haka.policy { on = connection.policies.next_dissector, name = 'late',
              action = function (_, flow)
                if known[flow] then found = found + 1 else missed = missed + 1 end
              end }
          end
        end }
        haka.on_exit(function () print(found > 0, missed) end)";
    assert_eq!(printed(rules, "datagrams-v4"), "true 0");
}

#[test]
fn queries_are_the_same_in_their_responses() {
    let rules = "
        require('protocol/dns')
        local events = haka.dissectors.dns.events
        local asked, all, right = {}, 0, 0
        haka.rule { on = events.query, eval = function (dns, query)
          asked[query] = true
          query.mark = query.id
          query.question.mark = query.id
        end }
        haka.rule { on = events.response, eval = function (dns, response, query)
          if not query then return end
          all = all + 1
          if asked[query] and query.mark == response.id and query.question.mark == response.id then
            right = right + 1
          end
        end }
        haka.on_exit(function () print(all > 0, right == all) end)";
    assert_eq!(printed(rules, "dns-v4"), "true true");
    assert_eq!(printed(rules, "dns-tcp-v6"), "true true");
}

#[test]
fn records_are_themselves_while_others_come_and_go() {
    let rules = "
        require('protocol/dns')
        local all, right = 0, 0
        haka.rule { on = haka.dissectors.dns.events.response, eval = function (dns, response)
          local list = response.answer
          if #list == 0 then return end
          all = all + 1
          local first = list[1]
          first.mark = all
          local second = list:append { ip = ipv4.addr('10.0.0.1'), ttl = 11 }
          local third = list:append { ip = ipv4.addr('10.0.0.2'), ttl = 12 }
          local seen = {}
          for i, record in ipairs(list) do seen[i] = record end
          local walked = 0
          for _, record in pairs(list) do walked = walked + record.ttl - record.ttl + 1 end
          local good = #seen == #list and walked == #list and list[1].mark == all
            and seen[1] == first and list == response.answer and list[0.5] == nil
          list:remove(1)
          good = good and not pcall(function () return first.ttl end)
            and second.ttl == 11 and list[#list] == third and list[#list - 1] == second
          list:remove(second)
          good = good and third.ttl == 12 and list[#list].ttl == 12
          if good then right = right + 1 end
        end }
        haka.on_exit(function () print(all > 0, right == all) end)";
    let rules = format!("local ipv4 = require('protocol/ipv4')\n{rules}");
    assert_eq!(printed(&rules, "dns-v4"), "true true");
}

#[test]
fn what_is_stored_in_a_request_is_found_in_its_response() {
    let rules = "
        require('protocol/http')
        local events, known, all, right = haka.dissectors.http.events, {}, 0, 0
        haka.rule { on = events.request, eval = function (http, request)
          known[request] = true
          request.mark = request.uri
          request.split_uri.fragment = 'f'
        end }
        haka.rule { on = events.response, eval = function (http)
          all = all + 1
          local request = http.request
          if known[request] and request.mark == request.uri and request.split_uri.fragment == 'f'
              and request.headers == http.request.headers then
            right = right + 1
          end
        end }
        haka.on_exit(function () print(all > 0, right == all) end)";
    assert_eq!(
        printed(rules, "sample/http-gateway/input.pcap"),
        "true true"
    );
}

#[test]
fn a_request_that_one_event_shows_keeps_what_is_stored() {
    let rules = "
        require('protocol/http')
        local all, right, last = 0, 0, nil
        haka.rule { on = haka.dissectors.http.events.request, eval = function (http, request)
          request.split_uri.fragment = 'f'
          if request ~= last then request.mark = http.srcport end
          last = request
        end }
        haka.rule { on = haka.dissectors.http.events.request, eval = function (http, request)
          all = all + 1
          if request == last and request.mark == http.srcport and request.split_uri.fragment == 'f'
              and request.headers == last.headers and request.headers['Host'] then
            right = right + 1
          end
        end }
        haka.on_exit(function () print(all > 0, right == all) end)";
    assert_eq!(
        printed(rules, "sample/http-gateway/input.pcap"),
        "true true"
    );
}
