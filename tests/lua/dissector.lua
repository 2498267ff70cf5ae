-- rules.md 4.2 to 4.5 and dissectors-and-tools.md 0.2 to 0.4.

local host, lib, test = ...
local class = lib.class
local helper = haka.helper

-- A stand-in for the engine's packet: alive until sent or dropped.
local Packet = { __name = 'packet' }
local packet_methods = {}

function Packet.__index(_, key)
  if key == 'name' then return 'packet' end
  if key == 'ttl' then return 64 end
  local method = packet_methods[key]
  if method then return method end
  error(string.format("unknown field '%s'", key), 0)
end

function packet_methods.parent() return nil end
function packet_methods:can_continue() return not self.gone end
function packet_methods:send() rawset(self, 'gone', 'sent') end
function packet_methods:inject() rawset(self, 'gone', 'injected') end
function packet_methods:drop() rawset(self, 'gone', 'dropped') end

-- A stand-in for a vbuffer: select gives itself and is told of restore.
local function buffer(log)
  local payload = { mark = 'selected' }
  function payload:sub() return self end
  function payload:select() return { restore = function (_, b) log[#log + 1] = 'restore ' .. b.mark end }, self end
  function payload:pos(where) return where end
  return payload
end

local function packet()
  local log = {}
  return setmetatable({ gone = false, payload = buffer(log), log = log }, Packet)
end

-- A grammar with one export that answers the given fields.
local function grammar(result, err)
  local Result = class.class('Result')
  return { unique_export = {
    parse = function (_, iter, user)
      assert(iter == 'begin' and user)
      if err then return nil, err end
      local object = Result:new()
      for key, value in pairs(result or {}) do object[key] = value end
      return object
    end,
    create = function (_, _, init) return init end,
  } }
end

local function simple(name)
  local cls = haka.dissector.new{ name = name, type = helper.PacketDissector }
  cls.grammar = grammar{ field = 5 }
  return cls
end

local function on(event, fn, options)
  haka.rule{ on = event, eval = fn, options = options }
end

-- A flow whose life the test decides.
local function flow_class(name)
  local Flow = haka.dissector.new{ name = name, type = helper.FlowDissector }
  function Flow.method:can_continue() return not self._dead end
  function Flow.method:drop() self._dead = true end
  return Flow
end

return {
  ['registration, its log and the registry entry'] = function ()
    host.forget()
    local cls = haka.dissector.new{ name = 'zz', type = helper.PacketDissector }
    test.same(host.logs, { "info dissector: register new dissector 'zz'" })
    local entry = haka.dissectors.zz
    test.equal(entry.events.receive_packet.name, 'zz:receive_packet')
    test.equal(entry.events, cls.events)
    test.equal(entry.policies.next_dissector.name, 'zz next dissector')
    test.equal(cls.name, 'zz')
    test.same(cls.options, {})
  end,
  ['registration is silent in the console'] = function ()
    host.mode = 'console'
    host.forget()
    simple('zz')
    test.same(host.logs, {})
  end,
  ['errors of registration'] = function ()
    test.raises_here("no type defined for dissector 'zz'",
      function () haka.dissector.new{ name = 'zz' } end)
    simple('zz')
    test.raises_here("dissector 'zz' already defined", function ()
      haka.dissector.new{ name = 'zz', type = helper.FlowDissector }
    end)
    test.raises_here('no name defined for dissector',
      function () haka.dissector.new{ type = helper.FlowDissector } end)
    test.raises_here("invalid type for dissector 'yy'",
      function () haka.dissector.new{ name = 'yy', type = {} } end)
  end,
  ['dissector-register: an unknown dissector is nil and logged'] = function ()
    host.forget()
    test.equal(haka.dissectors.none, nil)
    test.same(host.logs, { 'error dissector: unknown dissector none' })
  end,
  ['unknown events and policies raise where they are read'] = function ()
    local cls = simple('zz')
    test.raises_here("unkown event 'x'", function () return haka.dissectors.zz.events.x end)
    test.raises_here("unkown policy 'x'", function () return haka.dissectors.zz.policies.x end)
    local object = cls:new(packet())
    test.raises_here("unkown event 'x'", function () object:trigger('x') end)
  end,
  ['events are copied from the parent class under the own name'] = function ()
    local Base = class.class('Base', helper.FlowDissector)
    Base:register_event('request')
    local cls = haka.dissector.new{ name = 'http2', type = Base }
    test.equal(cls.events.request.name, 'http2:request')
    test.equal(Base.events.request.name, 'Base:request')
    test.equal(cls.events.request ~= Base.events.request, true)
  end,

  ['reception: parse, event, policy, send'] = function ()
    local cls = simple('zz')
    local pkt, seen = packet(), nil
    on(cls.events.receive_packet, function (dissector) seen = dissector.field + dissector.ttl end)
    cls:new(pkt):preceive()
    test.equal(seen, 69)
    test.equal(pkt.gone, 'sent')
    test.same(pkt.log, { 'restore selected' })
  end,
  ['reception: a parse error is an event and the packet goes on (Q46)'] = function ()
    local cls, pkt, got = simple('zz'), packet(), {}
    cls.grammar = grammar(nil, 'bad bytes')
    on(cls.events.protocol_error, function (_, err) got[#got + 1] = err end)
    on(cls.events.receive_packet, function () got[#got + 1] = 'received' end)
    cls:new(pkt):preceive()
    test.same(got, { 'bad bytes', 'received' })
    test.equal(pkt.gone, 'sent')
  end,
  ['reception: without exactly one export'] = function ()
    local cls, pkt = simple('zz'), packet()
    cls.grammar = setmetatable({}, { __index = function () error('read') end })
    host.forget()
    cls:new(pkt):preceive()
    test.same(host.logs,
      { 'error lua: zz: not implemented for grammar exporting more than 1 element' })
    test.equal(pkt.gone, 'dropped')
  end,
  ['reception: an error in a rule is logged and the packet dropped'] = function ()
    local cls, pkt = simple('zz'), packet()
    on(cls.events.receive_packet, function (dissector) return dissector.none end)
    host.forget()
    cls:new(pkt):preceive()
    test.same(host.logs, { "error lua: zz: unknown field 'none'" })
    test.equal(pkt.gone, 'dropped')
  end,
  ['reception: an error that is no string goes through tostring (Q1)'] = function ()
    local cls, pkt = simple('zz'), packet()
    on(cls.events.receive_packet, function () error(setmetatable({}, { __tostring = function () return 'E' end })) end)
    host.forget()
    cls:new(pkt):preceive()
    test.same(host.logs, { 'error lua: zz: E' })
  end,
  ['reception: after a drop no later rule runs, nothing is logged'] = function ()
    local cls, pkt, later = simple('zz'), packet(), false
    on(cls.events.receive_packet, function (dissector) dissector:drop() dissector:drop() end)
    on(cls.events.receive_packet, function () later = true end)
    host.forget()
    cls:new(pkt):preceive()
    test.equal(later, false)
    test.equal(pkt.gone, 'dropped')
    test.same(host.logs, {})
  end,
  ['reception: abort drops nothing'] = function ()
    local cls, pkt = simple('zz'), packet()
    on(cls.events.receive_packet, haka.abort)
    cls:new(pkt):preceive()
    test.equal(pkt.gone, false)
  end,

  ['the next dissector: install, activate, field delegation'] = function ()
    local outer, inner, seen = simple('outer'), simple('inner'), {}
    inner.grammar = grammar{ own = 1 }
    function outer.method:install_criterion() return { proto = 6 } end
    outer.property.payload = { get = function (self) return rawget(self:parent(), 'payload') end }
    haka.policy{ on = haka.dissectors.outer.policies.next_dissector, proto = 6,
      action = haka.dissectors.inner.install }
    on(inner.events.receive_packet, function (dissector)
      seen = { dissector.own, dissector.field, dissector.ttl, dissector:parent().name }
    end)
    local pkt = packet()
    outer:new(pkt):preceive()
    test.same(seen, { 1, 5, 64, 'outer' })
    test.equal(pkt.gone, 'sent')
  end,
  ['the next dissector: a class-level receive is given the packet'] = function ()
    local outer, got = simple('outer'), nil
    local entry, descriptor = lib.dissector.native{ name = 'native',
      methods = { receive = function (_, parent) got = parent end } }
    haka.policy{ on = outer.policies.next_dissector, action = entry.install }
    local object = outer:new(packet())
    object:preceive()
    test.equal(got, object)
    test.equal(descriptor.name, 'native')
  end,
  ['activate_next_dissector remembers the instance'] = function ()
    local outer, inner = simple('outer'), simple('inner')
    local object = outer:new(packet())
    test.equal(object:activate_next_dissector(), nil)
    object:select_next_dissector(inner)
    local next = object:activate_next_dissector()
    test.equal(class.classof(next), inner)
    test.equal(object:activate_next_dissector(), next)
    test.equal(next:parent(), object)
  end,

  ['parent: by number, by name, identity'] = function ()
    local outer, inner = simple('outer'), simple('inner')
    local pkt = packet()
    local low = outer:new(pkt)
    local high = inner:new(low)
    test.equal(high:parent(), low)
    test.equal(high:parent(0), high)
    test.equal(high:parent(2), pkt)
    test.equal(high:parent('packet'), pkt)
    test.equal(high:parent('inner'), high)
    test.equal(high:parent('none'), nil)
    test.equal(high:parent(5), nil)
    local orphan = flow_class('orphan'):new({})
    test.equal(orphan:parent('orphan'), orphan)
  end,
  ['fields: private, declared, unknown, not a string (Q11)'] = function ()
    local cls = simple('zz')
    local object = cls:new(packet())
    test.equal(object._private, nil)
    test.equal(object[1], nil)
    test.equal(object[{}], nil)
    test.raises_bare("unknown field 'option'", function () return object.option end)
    cls:available_fields{ 'option' }
    test.equal(object.option, nil)
    lib.grammar = { declares = function (g, name) return g == cls.grammar and name == 'declared' end }
    test.equal(object.declared, nil)
    local alone = flow_class('alone'):new()
    test.raises_bare("unknown field 'x' on dissector 'alone'", function () return alone.x end)
    alone.x = 3
    test.equal(alone.x, 3)
    test.equal(alone.name, 'alone')
    test.equal(alone.state, nil)
  end,
  ['abstract methods'] = function ()
    local object = haka.dissector.new{ name = 'bare', type = helper.Dissector }:new()
    for _, method in ipairs{ 'can_continue', 'drop', 'send' } do
      test.raises_here('not implemented', function () object[method](object) end)
    end
  end,
  ['a state machine starts with the instance'] = function ()
    local cls = flow_class('zz')
    cls.state_machine = { instanciate = function (_, owner) return { current = 'idle', owner = owner } end }
    local object = cls:new()
    test.equal(object.state, 'idle')
    test.equal(object._state.owner, object)
    cls.auto_state_machine = false
    test.equal(cls:new().state, nil)
  end,
  ['dynamic connections are attached on creation (Q10)'] = function ()
    local cls, got = flow_class('zz'), nil
    local event = haka.event.Event:new('e')
    cls.connections:register(event, haka.event.method(haka.event.self, function (self) got = self end))
    local scope = haka.context:newscope()
    local object
    haka.context:exec(scope, function () object = cls:new() end)
    haka.context:signal(nil, event)
    test.equal(got, nil)
    haka.context:exec(scope, function () haka.context:signal(nil, event) end)
    test.equal(got, object)
  end,

  ['create: class, registry and bytes in front'] = function ()
    local cls, pkt, inserted = simple('zz'), packet(), nil
    haka.vbuffer_allocate = function (size) return size end
    pkt.payload.pos = function () return { insert = function (_, b) inserted = b end } end
    local object = haka.dissectors.zz.create(pkt, { ttl = 3 }, 20)
    test.equal(inserted, 20)
    test.equal(object.ttl, 3)
    test.equal(class.classof(object), cls)
    test.equal(object:parent(), pkt)
  end,
  ['send: event, forge, parent; a second one is refused (Q12)'] = function ()
    local cls, pkt, order = simple('zz'), packet(), {}
    function cls.method:forge_payload(parent) order[#order + 1] = 'forge ' .. parent.name end
    on(cls.events.send_packet, function () order[#order + 1] = 'event' end)
    local object = cls:new(pkt)
    object:parse(pkt)
    object:send()
    test.same(order, { 'event', 'forge packet' })
    test.same(pkt.log, { 'restore selected' })
    test.equal(object:parent(), nil)
    test.equal(object:can_continue(), false)
    object:drop()
    test.equal(pkt.gone, 'sent')
    test.raises_bare('operation not supported', function () object:send() end)
  end,
  ['inject: forge without event'] = function ()
    local cls, pkt, events = simple('zz'), packet(), 0
    on(cls.events.send_packet, function () events = events + 1 end)
    local object = cls:new(pkt)
    object:parse(pkt)
    object:inject()
    test.equal(events, 0)
    test.equal(pkt.gone, 'injected')
  end,
  ['alert is haka.alert'] = function ()
    local object = simple('zz'):new(packet())
    object:alert{ severity = 'low' }:update{ severity = 'high' }
    test.equal(#host.alerts, 2)
    test.raises_here("unexpected field 'x'", function () object:alert{ x = 1 } end)
  end,

  ['dissector.pcall: result, error, abort'] = function ()
    local handled = 0
    local object = { name = 'zz', error = function () handled = handled + 1 return 'handled' end }
    test.equal(haka.dissector.pcall(object, function () return 5, 6 end), 5)
    host.forget()
    test.equal(haka.dissector.pcall(object, function () error('broken', 0) end), 'handled')
    test.same(host.logs, { 'error lua: zz: broken' })
    test.equal(haka.dissector.pcall(object, haka.abort), nil)
    test.equal(handled, 1)
  end,
  ['opposite_direction'] = function ()
    test.equal(haka.dissector.opposite_direction('up'), 'down')
    test.equal(haka.dissector.opposite_direction('down'), 'up')
    test.equal(haka.dissector.opposite_direction('x'), nil)
  end,

  ['streamed event: plain and streamed listeners'] = function ()
    local Flow, got, streamed = flow_class('flow'), {}, {}
    Flow:register_streamed_event('receive_data')
    lib.stream = {
      vbuffer_stream_comanager = { hash = function (fn) return fn end },
      run_streamed = function (comanager, key, fn, this, current, ...)
        assert(key == fn)
        streamed[#streamed + 1] = { comanager, this.name, current and current.n or 'end', ... }
        fn(this, 'iter', ...)
      end,
    }
    local function current(n)
      return {
        n = n,
        check_available = function () return n > 0, n end,
        copy = function (self) return self end,
        sub = function (_, mode) return mode .. n end,
      }
    end
    on(Flow.events.receive_data, function (_, sub, direction) got[#got + 1] = sub .. direction end)
    on(Flow.events.receive_data, function (_, iter) got[#got + 1] = iter end, { streamed = true })
    local flow = Flow:new()
    local stream = { isfinished = false, getcomanager = function () return 's' end }
    flow:trigger('receive_data', stream, current(4), 'up')
    flow:trigger('receive_data', stream, current(0), 'up')
    test.same(got, { 'available4up', 'iter' })
    stream.isfinished = true
    flow:trigger('receive_data', stream, nil, 'up')
    test.same(got, { 'available4up', 'iter', 'iter' })
    test.same(streamed, { { 's', 'flow', 4, 'up' }, { 's', 'flow', 'end', 'up' } })
  end,
  ['streamed event: a rule that drops the flow stops the next'] = function ()
    local Flow, later = flow_class('flow'), false
    Flow:register_streamed_event('receive_data')
    on(Flow.events.receive_data, function (flow) flow:drop() end)
    on(Flow.events.receive_data, function () later = true end)
    local current = { check_available = function () return true end, sub = function () end }
    current.copy = function () return current end
    local ok, err = pcall(function ()
      Flow:new():trigger('receive_data', { isfinished = false }, current)
    end)
    test.equal(ok == false and err == nil, true)
    test.equal(later, false)
  end,

  ['native dissectors: events, policies, install, log'] = function ()
    host.forget()
    local entry, descriptor = lib.dissector.native{
      name = 'tcp_connection',
      events = { new_connection = { kind = 4 }, receive_data = { kind = 5, streamed = true } },
      policies = { next_dissector = { native = 1 },
        no_connection_found = { title = 'no connection found for tcp packet', native = 2 } },
      create = function (parent) return { parent } end,
      methods = { activate = function (self, parent) return { self.name, parent } end },
      class = true,
    }
    test.same(host.logs, { "info dissector: register new dissector 'tcp_connection'" })
    test.equal(haka.dissectors.tcp_connection, entry)
    test.equal(entry.events.new_connection.name, 'tcp_connection:new_connection')
    test.equal(entry.events.new_connection._native, 4)
    test.equal(entry.policies.next_dissector.name, 'tcp_connection next dissector')
    test.equal(entry.policies.no_connection_found.name, 'no connection found for tcp packet')
    test.equal(entry.policies.no_connection_found._native, 2)
    test.raises_here("unkown policy 'x'", function () return entry.policies.x end)
    on(entry.events.new_connection, function () end)
    test.same(host.hooks, { 4 })
    test.same(entry.create('p'), { 'p' })
    local selected
    entry.install(nil, { select_next_dissector = function (_, next) selected = next end })
    test.equal(selected, descriptor)
    test.equal(lib.dissector.is_inactive(descriptor), true)
    test.raises("dissector 'tcp_connection' already defined", lib.dissector.native,
      { name = 'tcp_connection' })
  end,
  ['native dissectors: continue of their events asks the emitter'] = function ()
    local entry = lib.dissector.native{ name = 'ip', events = { receive_packet = { kind = 1 } } }
    local later = false
    on(entry.events.receive_packet, function () end)
    on(entry.events.receive_packet, function () later = true end)
    local emitter = { continue = haka.abort }
    test.equal(pcall(haka.context.signal, haka.context, emitter, entry.events.receive_packet), false)
    test.equal(later, false)
  end,
}
