-- FTP policy: data connections between the two ends of the control connection
-- only, and none to privileged ports.
--
-- Detects: `PORT`, `EPRT` and the answers to `PASV` and `EPSV` that name
--   another host (the bounce attack, RFC 2577, section 3) or a port below 1024.
-- Wrong when: two servers send each other a file on behalf of a client (FXP),
--   or the server is behind address translation that does not rewrite FTP.
-- Does: an alert; the control connection is dropped before the line left.
--   Data connections that were agreed on are logged with their parent.

require('protocol/ftp')

local ftp = haka.dissectors.ftp

local function refuse(flow, data, why)
  haka.alert {
    severity = 'high',
    description = string.format('ftp data connection to %s port %d: %s', data.ip, data.port, why),
    sources = haka.alert.address(flow.srcip),
    targets = { haka.alert.address(flow.dstip), haka.alert.service('ftp') },
  }
  flow:drop()
end

haka.rule {
  on = ftp.events.data_flow,
  eval = function (flow, data)
    local own = data.mode == 'active' and flow.srcip or flow.dstip
    if data.ip ~= own then
      refuse(flow, data, 'another host')
    elseif data.port < 1024 then
      refuse(flow, data, 'a privileged port')
    end
  end,
}

haka.rule {
  on = haka.dissectors.tcp_connection.events.new_connection,
  eval = function (flow)
    local control = flow.expected_by
    if control then
      haka.log('%s to %s port %d, announced by connection %d', flow.label, flow.dstip, flow.dstport,
        control.id)
    end
  end,
}
