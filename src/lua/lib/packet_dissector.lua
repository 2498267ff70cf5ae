-- Packet dissectors written in Lua: one object per packet, on its parent's payload.

local _, lib = ...

local error, tostring, rawget, rawset = error, tostring, rawget, rawset
local new_class, classof, merge = lib.class.class, lib.class.classof, lib.class.merge
local protected, is_inactive = lib.dissector.protected, lib.dissector.is_inactive

local PacketDissector = new_class('PacketDissector', lib.dissector.Dissector)

PacketDissector:register_event('receive_packet')
PacketDissector:register_event('send_packet')
PacketDissector:register_event('protocol_error')

-- The raw read keeps a grammar without exactly one export from raising its
-- own error for the unknown rule `unique_export`.
local function exported(self)
  local grammar = classof(self).grammar
  local export = grammar and rawget(grammar, 'unique_export')
  if not export then
    error('not implemented for grammar exporting more than 1 element', 0)
  end
  return export
end

local function take_result(self, result)
  local parent = rawget(self, '_parent')
  merge(self, result)
  rawset(self, '_parent', parent)
  -- The grammar's user object, which is this dissector.
  rawset(self, '_user', nil)
end

local function select_payload(self, parent)
  local reference, payload = parent.payload:sub(0, 'all'):select()
  rawset(self, '_select', reference)
  rawset(self, '_payload', payload)
  return payload
end

local function receive(self)
  return self:receive()
end

function PacketDissector.method:preceive()
  return protected(self, receive, self)
end

-- After a parse error the packet goes on all the same: rules that want
-- otherwise listen to protocol_error and drop.
function PacketDissector.method:receive()
  self:parse(self:parent())
  self:trigger('receive_packet')
  classof(self).policies.next_dissector:evaluate(self, self:install_criterion(), {})

  local next = rawget(self, '_next_dissector')
  if next == nil then return self:send() end
  if is_inactive(next) and next.receive then return next:receive(self) end
  return self:activate_next_dissector():preceive()
end

function PacketDissector.method:parse(parent)
  self:parse_payload(parent, select_payload(self, parent))
end

function PacketDissector.method:parse_payload(_, payload)
  local result, err = exported(self):parse(payload:pos('begin'), self)
  if err then
    self:trigger('protocol_error', err)
  else
    take_result(self, result)
  end
end

-- `size` zero bytes are put before what the parent already carries.
function PacketDissector.method:create(parent, init, size)
  if size then
    parent.payload:pos('begin'):insert(lib.haka.vbuffer_allocate(size))
  end
  self:create_payload(parent, select_payload(self, parent), init)
end

function PacketDissector.method:create_payload(_, payload, init)
  local result, err = exported(self):create(payload:pos('begin'), init)
  if err then error(tostring(err), 0) end
  take_result(self, result)
end

-- Hook: recompute lengths and checksums here.
function PacketDissector.method:forge_payload()
end

function PacketDissector.method:forge(parent)
  local payload = rawget(self, '_payload')
  if not payload then return end
  self:forge_payload(parent, payload)
  rawget(self, '_select'):restore(payload)
  rawset(self, '_select', nil)
  rawset(self, '_payload', nil)
end

local function parent_of(self)
  local parent = rawget(self, '_parent')
  if parent == nil then error('operation not supported', 0) end
  return parent
end

function PacketDissector.method:send()
  local parent = parent_of(self)
  self:trigger('send_packet')
  self:forge(parent)
  parent:send()
  rawset(self, '_parent', nil)
end

-- Back into the engine as if captured; no event.
function PacketDissector.method:inject()
  local parent = parent_of(self)
  self:forge(parent)
  parent:inject()
  rawset(self, '_parent', nil)
end

function PacketDissector.method:can_continue()
  local parent = rawget(self, '_parent')
  return parent ~= nil and parent:can_continue()
end

-- A second drop, or one after send, does nothing.
function PacketDissector.method:drop()
  local parent = rawget(self, '_parent')
  if parent ~= nil then parent:drop() end
end

return PacketDissector
