//! The same traffic and rules give the same results.

use super::run;

#[test]
fn runs_are_equal() {
    let rules = "require('protocol/tcp') require('protocol/udp_connection')
        local seen = {}
        for i = 1, 200 do seen['key ' .. (i * 7919 % 1000)] = i end
        haka.rule { on = haka.dissectors.tcp.events.receive_packet, eval = function (pkt)
          seen['from ' .. pkt.srcport .. ' ' .. pkt.seq] = true
          for key, value in sorted_pairs(seen) do print(key, value) end
          for key, value in pairs(seen) do print(key, value) end
          for key in pairs { [pkt.srcport] = 1, text = 2, [1] = 3, [true] = 4 } do print(key) end
          print(math.random(1e6), math.random(), os.time(), os.date('!%c'))
          pkt.window_size = math.random(1000)
        end }";
    let (first, second) = (run(rules), run(rules));
    assert!(first.said.printed.len() > 10_000);
    for (number, (first, second)) in first
        .said
        .printed
        .lines()
        .zip(second.said.printed.lines())
        .enumerate()
    {
        assert_eq!(first, second, "line {number}");
    }
    assert_eq!(first.said.printed.len(), second.said.printed.len());
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(first.verdicts, second.verdicts);
    assert!(
        first.said.printed.contains("Mon Jan 12 13:46:40 1970"),
        "os.date is packet time"
    );
}
