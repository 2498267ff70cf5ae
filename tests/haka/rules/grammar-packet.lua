-- A packet dissector with a grammar, in place of the engine's for UDP.

local ipv4 = require('protocol/ipv4')

local Datagram = haka.dissector.new { type = haka.helper.PacketDissector, name = 'datagram' }

Datagram.grammar = haka.grammar.new('datagram', function ()
  header = record {
    field('srcport', number(16)), field('dstport', number(16)), field('length', number(16)),
    field('checksum', number(16)):validate(function (self)
      self.checksum = 0
      haka.log('checksum of %d bytes', #self._payload)
    end),
    field('data', bytes()),
  }
  export(header)
end)

function Datagram.method:forge_payload()
  self:validate()
end

haka.policy { on = haka.dissectors.ipv4.policies.next_dissector, proto = 17, action = haka.dissectors.datagram.install }

haka.rule {
  on = haka.dissectors.datagram.events.receive_packet,
  eval = function (pkt)
    haka.log('%s %d -> %d: %s', pkt.src, pkt.srcport, pkt.dstport, pkt.data:asstring())
    pkt.dstport = 9
    pkt.checksum = nil
  end,
}
