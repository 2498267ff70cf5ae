local rem = require('regexp/pcre')

haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    local flags = pkt.flags
    if flags.fin and flags.psh and flags.urg then
      haka.alert { severity = 'medium', description = 'xmas scan', sources = haka.alert.address(pkt.src) }
      pkt:drop()
    end
  end,
}

local shellcode = rem.re:compile('%xeb %x1f %x5e %x89 %x76 %x08 %x31 %xc0', rem.re.EXTENDED)

haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_data,
  options = { streamed = true },
  eval = function (flow, iter)
    if shellcode:match(iter) then
      haka.alert { severity = 'high', description = 'shell code', sources = haka.alert.address(flow.srcip) }
      flow:drop()
    end
  end,
}
