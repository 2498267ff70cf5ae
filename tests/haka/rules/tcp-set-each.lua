require('protocol/tcp')

local changes = {
  function (pkt) pkt.srcport = 3000 end,
  function (pkt) pkt.seq = 1 end,
  function (pkt) pkt.ack_seq = 1 end,
  function (pkt) pkt.res = 5 end,
  function (pkt) pkt.hdr_len = 32 end,
  function (pkt) pkt.flags.fin = true end,
  function (pkt) pkt.flags.all = 1 end,
  function (pkt) pkt.window_size = 1 end,
  function (pkt) pkt.checksum = 1 end,
  function (pkt) pkt:compute_checksum() end,
  function (pkt) pkt.payload:append(haka.vbuffer_from('x')) end,
}

haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    for i, change in ipairs(changes) do
      print(i, select(2, pcall(change, pkt)))
    end
  end,
}
