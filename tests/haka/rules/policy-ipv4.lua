local ipv4 = require('protocol/ipv4')

local dmz = haka.policy.new('dmz')

haka.policy {
  on = dmz,
  name = 'traffic to dmz',
  src = ipv4.addr('192.168.20.1'),
  dst = haka.policy.ipv4_in_network(ipv4.network('192.168.20.48/28')),
  action = {
    haka.policy.alert { description = 'forbidden traffic to dmz' },
    haka.policy.drop,
  },
}

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    dmz:apply {
      ctx = pkt,
      values = { src = pkt.src, dst = pkt.dst },
      desc = { description_of = 'nothing' },
    }
  end,
}
