-- rules.md 2.1, 2.2 and 4.1: events, dispatch, the context and its scopes.

local host, lib, test = ...
local Event = haka.event.Event

local function listen(event, fn, options)
  haka.context.connections:register(event, fn, options)
end

return {
  ['listeners run in registration order with the emitter first'] = function ()
    local event, seen = Event:new('e'), {}
    listen(event, function (who, x) seen[#seen + 1] = who .. x end)
    listen(event, function (who, x) seen[#seen + 1] = who .. x + 1 end)
    test.equal(haka.context:signal('me', event, 1), true)
    test.same(seen, { 'me1', 'me2' })
  end,

  ['continue follows each listener; an error leaves the loop'] = function ()
    local seen = {}
    local event = Event:new('e', function () seen[#seen + 1] = 'continue' error() end)
    listen(event, function () seen[#seen + 1] = 'first' end)
    listen(event, function () seen[#seen + 1] = 'second' end)
    local ok, err = pcall(haka.context.signal, haka.context, nil, event)
    test.equal(ok, false)
    test.equal(err, nil)
    test.same(seen, { 'first', 'continue' })
  end,

  ['signal gets function, options and the arguments'] = function ()
    local got
    local event = Event:new('e', nil, function (fn, options, emitter, x)
      got = { options.opt, emitter, x, fn() }
    end)
    listen(event, function () return 'r' end, { opt = 'o' })
    haka.context:signal('me', event, 'x')
    test.same(got, { 'o', 'me', 'x', 'r' })
  end,

  ['a listener added during the dispatch is called'] = function ()
    local event, late = Event:new('e'), 0
    listen(event, function ()
      listen(event, function () late = late + 1 end)
    end)
    haka.context:signal(nil, event)
    test.equal(late, 1)
  end,

  ['debug log with the number of listeners, none when nobody listens'] = function ()
    host.debug()
    local event = Event:new('dns:query')
    haka.context:signal(nil, event)
    listen(event, function () end)
    host.forget()
    haka.context:signal(nil, event)
    test.same(host.logs, { "debug event: signal 'dns:query', 1 listeners" })
  end,

  ['errors of register and signal'] = function ()
    local conns = haka.event.StaticEventConnections:new()
    test.raises_here('event expected', function () conns:register({}, print) end)
    test.raises_here('function expected', function () conns:register(Event:new('e'), 1) end)
    test.raises_here('event expected', function () haka.context:signal(nil, {}) end)
  end,

  ['events know their names; unknown ones read nil'] = function ()
    test.equal(haka.events.started.name, 'started')
    test.equal(haka.events.exiting.name, 'exiting')
    test.equal(haka.events.none, nil)
    test.equal(Event:new('e'):clone().name, 'e')
  end,

  ['a native event tells the host who listens'] = function ()
    local event = Event:new('tcp:receive_packet')
    event._native = 12
    listen(event, function () end)
    listen(event, function () end)
    test.same(host.hooks, { 12, 12 })
  end,

  ['listeners is the live list with the place of each'] = function ()
    local event = Event:new('e')
    local list = haka.context.connections:listeners(event)
    test.equal(#list, 0)
    haka.rule{ on = event, name = 'n', options = { a = 1 }, eval = print }
    test.equal(#list, 1)
    test.equal(list[1].fn, print)
    test.equal(list[1].name, 'n')
    test.equal(list[1].group, false)
    test.equal(list[1].options.a, 1)
    test.equal(list[1].location:match('^tests/lua/event%.lua:%d+$') ~= nil, true)
  end,

  ['one function registered twice as streamed is two listeners (Q21)'] = function ()
    local event = Event:new('e')
    local calls = 0
    local function fn() calls = calls + 1 end
    listen(event, fn, { streamed = true })
    listen(event, fn, { streamed = true })
    local list = haka.context.connections:listeners(event)
    test.equal(list[1].fn ~= list[2].fn, true)
    list[1].fn()
    list[2].fn()
    test.equal(calls, 2)
  end,

  ['event.method binds an object'] = function ()
    local event, got = Event:new('e'), nil
    listen(event, haka.event.method('object', function (...) got = { ... } end))
    haka.context:signal('me', event, 1)
    test.same(got, { 'object', 'me', 1 })
  end,

  ['event.self is the object of the dynamic connections'] = function ()
    local event, got = Event:new('e'), {}
    local static = haka.event.StaticEventConnections:new()
    static:register(event, haka.event.method(haka.event.self, function (object, who)
      got[#got + 1] = object .. who
    end))
    local scope = haka.context:newscope()
    haka.context:exec(scope, function ()
      haka.context:register_connections(haka.event.ObjectEventConnections:new('one', static))
      haka.context:register_connections(haka.event.ObjectEventConnections:new('two', static))
      haka.context:signal('!', event)
    end)
    test.same(got, { 'one!', 'two!' })
    haka.context:signal('!', event)
    test.equal(#got, 2)
  end,

  ['a bound method is the same function each time'] = function ()
    local event = Event:new('e')
    local static = haka.event.StaticEventConnections:new()
    static:register(event, haka.event.method(haka.event.self, function () end))
    local bound = haka.event.ObjectEventConnections:new({}, static)
    local listener = bound:listeners(event)[1]
    test.equal(bound:callee(listener), bound:callee(listener))
  end,

  ['global listeners come before those of the scope'] = function ()
    local event, seen = Event:new('e'), {}
    local static = haka.event.StaticEventConnections:new()
    static:register(event, function () seen[#seen + 1] = 'scope' end)
    listen(event, function () seen[#seen + 1] = 'global' end)
    haka.context:exec(haka.context:newscope(), function ()
      haka.context:register_connections(haka.event.ObjectEventConnections:new({}, static))
      haka.context:signal(nil, event)
    end)
    test.same(seen, { 'global', 'scope' })
  end,

  ['register_connections: nil, none, and without a scope'] = function ()
    haka.context:register_connections(nil)
    local static = haka.event.StaticEventConnections:new()
    local dynamic = haka.event.ObjectEventConnections:new({}, static)
    haka.context:register_connections(dynamic)
    static:register(Event:new('e'), print)
    test.raises_here('scope required to register dynamic event connections',
      function () haka.context:register_connections(dynamic) end)
  end,

  ['exec restores the scope and re-raises unchanged'] = function ()
    local outer, inner = haka.context:newscope(), haka.context:newscope()
    haka.context:exec(outer, function ()
      test.raises_bare('broken', function ()
        haka.context:exec(inner, function ()
          test.equal(haka.context.scope, inner)
          error('broken', 0)
        end)
      end)
      test.equal(haka.context.scope, outer)
    end)
    test.equal(haka.context.scope, nil)
    local ok, err = pcall(haka.context.exec, haka.context, inner, haka.abort)
    test.equal(ok, false)
    test.equal(err, nil)
  end,

  ['exec adds one traceback at debug level'] = function ()
    host.debug()
    local _, err = pcall(haka.context.exec, haka.context, haka.context:newscope(), function ()
      haka.context:exec(haka.context:newscope(), function () error('broken', 0) end)
    end)
    local _, count = err:gsub('stack traceback:', '')
    test.equal(err:match('^broken\nstack traceback:\n\t') ~= nil, true)
    test.equal(count, 1)
  end,

  ['scopes keep data by namespace'] = function ()
    local scope = haka.context:newscope()
    scope:createnamespace('tcp', 5)
    test.equal(scope:namespace('tcp'), 5)
    test.equal(scope:namespace('udp'), nil)
  end,

  ['a listener may yield through the dispatch'] = function ()
    local event, got = Event:new('e'), nil
    listen(event, function () got = coroutine.yield('need bytes') end)
    local thread = coroutine.create(function ()
      haka.context:exec(haka.context:newscope(), function ()
        haka.context:signal(nil, event)
      end)
    end)
    local _, wanted = coroutine.resume(thread)
    test.equal(wanted, 'need bytes')
    coroutine.resume(thread, 'bytes')
    test.equal(got, 'bytes')
  end,
}
