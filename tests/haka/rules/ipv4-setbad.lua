require('protocol/ipv4')

local function refused(fn)
  local ok, message = pcall(fn)
  print(ok, message)
end

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    refused(function () pkt.tos = -1 end)
    refused(function () pkt.src = 'somewhere' end)
    refused(function () pkt.src = 12 end)
    refused(function () pkt.flags.df = 1 end)
    refused(function () pkt.payload = 1 end)
    refused(function () pkt.nothing = 1 end)
    refused(function () pkt.flags.nothing = true end)
    refused(function () return pkt.nothing end)
    pkt.version = 77
    print(pkt.version)
    pkt.version = 4
    pkt.frag_offset = 83
    print(pkt.frag_offset)
    pkt:drop()
    refused(function () return pkt.ttl end)
    refused(function () pkt.ttl = 3 end)
    refused(function () pkt:send() end)
    refused(function () pkt:drop() end)
  end,
}
