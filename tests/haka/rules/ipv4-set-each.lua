local ipv4 = require('protocol/ipv4')

local changes = {
  function (pkt) pkt.version = 4 end,
  function (pkt) pkt.hdr_len = 20 end,
  function (pkt) pkt.tos = 0 end,
  function (pkt) pkt.len = 30 end,
  function (pkt) pkt.id = 1 end,
  function (pkt) pkt.flags.rb = true end,
  function (pkt) pkt.flags.df = false end,
  function (pkt) pkt.flags.mf = true end,
  function (pkt) pkt.flags.all = 3 end,
  function (pkt) pkt.frag_offset = 80 end,
  function (pkt) pkt.ttl = 33 end,
  function (pkt) pkt.proto = 77 end,
  function (pkt) pkt.checksum = 1 end,
  function (pkt) pkt:compute_checksum() end,
  function (pkt) pkt.src = ipv4.addr(1) end,
  function (pkt) pkt.dst = ipv4.addr(2) end,
  function (pkt) pkt.payload:sub(0, 2):erase() end,
  function (pkt) pkt.payload:pos(1):insert(haka.vbuffer_from('x')) end,
  function (pkt) pkt.payload[1] = 3 end,
}

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    for i, change in ipairs(changes) do
      print(i, select(2, pcall(change, pkt)))
    end
  end,
}
