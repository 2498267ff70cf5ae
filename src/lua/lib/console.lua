-- What the console offers: lists of threads, rules, events and connections,
-- and a few actions. Its table is the last place where sessions look for a
-- name, after the rule's own variables and globals.
--
-- `haka.console` has the bare rows behind the lists.

local host, lib = ...

local new_list, formatter, aggregator = lib.list.new, lib.list.formatter, lib.list.aggregator
local super = lib.class.super
local rows, protocol = lib.rule.console, lib.protocol
local error, ipairs = error, ipairs
local unit, add, replace = formatter.unit, aggregator.add, aggregator.replace

local console = {}

function rows.threads()
  local row = host.thread_counters()
  row.id = host.thread
  return { row }
end

-- A class of lists of the console's: filtering leaves the original as it is.
local function list_class(name, columns)
  local cls = new_list(name)
  cls.field, cls.key = columns, columns[1]
  function cls.method:filter(keep)
    local copy = cls:new()
    copy:add(self._rows)
    super(cls).filter(copy, keep)
    return copy
  end
  return cls
end

local function filled(cls, from)
  local list = cls:new()
  list:add(from)
  return list
end

local Threads = list_class('threads', { 'id', 'status', 'recv_pkt', 'recv_bytes', 'trans_pkt',
  'trans_bytes', 'drop_pkt' })
Threads.field_format, Threads.field_aggregate = {}, { id = replace('total') }
for _, column in ipairs { 'recv_pkt', 'recv_bytes', 'trans_pkt', 'trans_bytes', 'drop_pkt' } do
  Threads.field_format[column], Threads.field_aggregate[column] = unit, add
end

local Rules = list_class('rules', { 'name', 'location', 'event', 'type' })
Rules.field_format = { name = formatter.optional('<no name>') }

local Events = list_class('events', { 'event', 'listener' })
Events.field_aggregate = { event = replace('total'), listener = add }

function console.threads() return filled(Threads, rows.threads()) end
function console.rules() return filled(Rules, rows.rules()) end
function console.events() return filled(Events, rows.events()) end

-- Connections of a protocol: `actions` maps methods of the list to the
-- protocol module's functions that take an id.
local function connections(name, actions)
  local cls = list_class(name .. ' connections', { 'id', 'srcip', 'srcport', 'dstip', 'dstport',
    'state', 'in_pkts', 'in_bytes', 'out_pkts', 'out_bytes' })
  cls.field_format = { in_pkts = unit, in_bytes = unit, out_pkts = unit, out_bytes = unit }

  local function module()
    local loaded = protocol.loaded('protocol/' .. name .. '_connection')
    if not loaded then error(name .. ' protocol not available', 3) end
    return loaded.console
  end

  for method, action in next, actions do
    cls.method[method] = function (self)
      local act = module()[action]
      for _, row in ipairs(self._rows) do act(row._id) end
    end
  end

  return {
    connections = function (show_dropped)
      local list = module().list_connections(show_dropped)
      return filled(cls, list)
    end,
  }
end

console.tcp = connections('tcp', { drop = 'drop_connection', reset = 'reset_connection' })
console.udp = connections('udp', { drop = 'drop_connection' })

console.setloglevel = lib.log.setloglevel

-- For rules that have globals of the same names.
console.console = console

lib.haka.console.threads = rows.threads

return console
