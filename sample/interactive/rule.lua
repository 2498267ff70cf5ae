-- Statistics of connections, and a prompt over them at the end of the run.

require('protocol/ipv4')
require('protocol/ipv6')
require('protocol/tcp_connection')
local list = require('list')
local color = require('color')

local Servers = list.new('servers')
Servers.field = { 'server', 'port', 'connections', 'bytes' }
Servers.key = 'server'
Servers.field_format = { bytes = list.formatter.unit }
Servers.field_aggregate = {
  server = list.aggregator.replace('all'),
  connections = list.aggregator.add,
  bytes = list.aggregator.add,
}

local rows, by_name = {}, {}

haka.rule {
  name = 'statistics',
  on = haka.dissectors.tcp_connection.events.end_connection,
  eval = function (flow)
    local name = tostring(flow.dstip) .. ' ' .. flow.dstport
    local row = by_name[name]
    if not row then
      row = { server = tostring(flow.dstip), port = flow.dstport, connections = 0, bytes = 0 }
      by_name[name] = row
      rows[#rows + 1] = row
    end
    row.connections = row.connections + 1
    row.bytes = row.bytes + flow.in_bytes + flow.out_bytes
  end
}

haka.rule {
  name = 'prompt',
  on = haka.events.exiting,
  eval = function ()
    local servers = Servers:new()
    servers:add(rows)
    debug.interactive.enter('stats>  ', 'stats>> ',
      color.green .. 'Statistics are in `servers`.' .. color.clear)
  end
}
