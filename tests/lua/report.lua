-- rules.md section 8 and 1.9: logs, alerts, time, pretty-print, the haka table.

local host, lib, test = ...

local function printed(value, options)
  host.forget()
  debug.pprint(value, options)
  return host.written
end

return {
  ['log: levels, sections, formats'] = function ()
    host.debug()
    host.forget()
    haka.log('%s!', 'a')
    haka.log.info('b')
    haka.log.warning('c')
    haka.log.error('d')
    haka.log.fatal('e')
    haka.log.debug('f')
    local mine = haka.log_section('mine')
    mine('g')
    mine.error('%d%%', 5)
    test.same(host.logs, { 'info external: a!', 'info external: b', 'warn external: c',
      'error external: d', 'fatal external: e', 'debug external: f', 'info mine: g', 'error mine: 5%' })
  end,
  ['log: a format is expanded only when enabled; its errors raise'] = function ()
    haka.log.debug('%d', 'no number')
    test.equal(pcall(haka.log.info, '%d', 'no number'), false)
    local _, err = pcall(function () haka.log('%d') end)
    test.equal(err:match('^tests/lua/report%.lua:%d+: ') ~= nil, true)
  end,
  ['log: setloglevel'] = function ()
    haka.setloglevel('debug')
    haka.setloglevel('warning', 'external')
    haka.setloglevel('warn', 'core')
    haka.setloglevel('default', 'core')
    test.same(host.levels_set, { 'debug nil', 'warn external', 'warn core', 'default core' })
    test.raises_here('invalid log level: loud', function () haka.setloglevel('loud') end)
    test.raises_here('invalid section name', function () haka.setloglevel('info', 'none') end)
    test.raises_here('invalid default log level', function () haka.setloglevel('default') end)
    haka.log_section('none')
    haka.setloglevel('info', 'none')
  end,
  ['log: at most 256 sections'] = function ()
    test.raises_here('too many log section', function ()
      for i = 1, 257 do haka.log_section('s' .. i) end
    end)
    haka.log_section('s1')('still there')
  end,

  ['alert: a full record'] = function ()
    local first = haka.alert{}
    haka.alert{
      start_time = haka.time(10.5),
      severity = 'high', confidence = 7, completion = 'failed',
      description = { 1 } and 12,
      method = { description = 'm', ref = { 'a', 2 } },
      sources = { haka.alert.address('10.0.0.1', nil, 3), haka.alert.service('tcp/22') },
      targets = haka.alert.service('x'),
      ref = first,
    }
    test.same(host.alerts[2], { id = 2, update = false, record = {
      start_time = { secs = 10, nsecs = 500000000 },
      severity = 'high', confidence = 7, completion = 'failed', description = '12',
      method = { description = 'm', ref = { 'a', '2' } },
      sources = { { type = 'address', values = { '10.0.0.1', 'null', '3' } },
        { type = 'service', values = { 'tcp/22' } } },
      targets = { { type = 'service', values = { 'x' } } },
      refs = { 1 },
    } })
  end,
  ['alert: update keeps the id and gives only its fields'] = function ()
    local alert = haka.alert{ severity = 'low' }
    alert:update{ severity = 'high', ref = { alert } }
    test.same(host.alerts[2], { id = 1, update = true, record = { severity = 'high', refs = { 1 } } })
    test.raises_here("unexpected field 'x'", function () alert:update{ x = 1 } end)
  end,
  ['alert: errors'] = function ()
    local function check(message, fields)
      test.raises_here(message, function () haka.alert(fields) end)
    end
    check("expected table for 'nil'", nil)
    check("expected table for 'nil'", 12)
    check("invalid severity value 'x'", { severity = 'x' })
    check("invalid confidence value 'x'", { confidence = 'x' })
    check("invalid completion value 'x'", { completion = 'x' })
    check('invalid method', { method = 'x' })
    check("unexpected field 'method.x'", { method = { x = 1 } })
    check("expected table for 'sources#1'", { sources = 'x' })
    check("expected table for 'targets#2'", { targets = { haka.alert.address(), 'x' } })
    check("unexpected field 'sources#1.x'", { sources = { { type = 'address', x = 1 } } })
    check("unexpected field 'x'", { x = 1 })
    check("expected time for 'start_time'", { start_time = 12 })
    check("expected alert for 'ref#1'", { ref = { 12 } })
    test.equal(#host.alerts, 0)
  end,
  ['alert: more text than 3072 bytes (Q44)'] = function ()
    haka.alert{ description = ('x'):rep(10000) }
    test.equal(#host.alerts[1].record.description, 10000)
  end,

  ['time: fields and text'] = function ()
    local t = haka.time(1390236283.25)
    test.equal(t.secs, 1390236283)
    test.equal(t.nsecs, 250000000)
    test.equal(tostring(t), 'time 1390236283')
    test.equal(haka.time(-1.5).secs, -1)
    test.equal(haka.time(-1.5).nsecs, -500000000)
    t.secs, t.nsecs = 5.9, 0
    test.equal(t.seconds, 5)
    test.equal(haka.time(1) == haka.time(1), false)
    test.raises_bare('This variable is immutable', function () t.seconds = 1 end)
    test.raises_bare("unknown field 'x'", function () return t.x end)
    test.raises_bare("unknown field 'x'", function () t.x = 1 end)
  end,
  ['time: network_time in 14 digits'] = function ()
    test.equal(string.format('%s', haka.network_time().seconds), '1390236283.002')
  end,

  ['pprint: plain values'] = function ()
    test.equal(printed('a"b'), '"a"b"\n')
    test.equal(printed(12), '12\n')
    test.equal(printed(nil), 'nil\n')
    test.equal(printed(true), 'true\n')
    test.equal(printed(print), 'function\n')
    test.equal(printed(coroutine.create(print)), 'thread\n')
    test.equal(printed({}), 'table {\n}\n')
  end,
  ['pprint: tables are sorted and indented, recursion is named'] = function ()
    local t = { b = { 1 }, a = 'x', [10] = 0, [9] = 0 }
    t.t = t
    test.equal(printed(t), [[
table {
  10 : 0
  9 : 0
  a : "x"
  b : table {
    1 : 1
  }
  t : recursive value
}
]])
  end,
  ['pprint: depth, indent, hide, out'] = function ()
    test.equal(printed({ a = { b = 1 } }, { depth = 1 }), 'table {\n  a : table\n}\n')
    test.equal(printed({ a = 1, _b = 2, c = print },
      { hide = { debug.hide_underscore, debug.hide_function } }), 'table {\n  a : 1\n}\n')
    test.equal(printed({ _b = 2 }, { hide = debug.hide_underscore }), 'table {\n}\n')
    local lines = {}
    debug.pprint({ a = 1 }, { indent = '>', out = function (...) lines[#lines + 1] = { ... } end })
    test.same(lines, { { '>table {' }, { '>  a :', '1' }, { '>}' } })
  end,
  ['pprint: the packet of 8.8'] = function ()
    local Buffer = { __name = 'vbuffer', __attributes = { 'modified' },
      __index = function () return false end }
    local Packet = { __name = 'packet',
      __attributes = { 'timestamp', 'id', 'data', 'name', 'payload' },
      __index = function (_, key)
        if key == 'data' then return {} end
        if key == 'id' then return 1 end
        if key == 'name' then return 'packet' end
        if key == 'payload' then return setmetatable({}, Buffer) end
        return haka.time(7)
      end }
    test.equal(printed(setmetatable({ 1, 2 }, Packet), { hide = debug.hide_underscore }), [[
userdata packet {
  data : table {
  }
  id : 1
  name : "packet"
  payload : userdata vbuffer {
    modified : false
  }
  timestamp : userdata time time 7
}
]])
  end,
  ['pprint: natives without attributes, failing reads, class-like ones'] = function ()
    test.equal(printed(setmetatable({}, { __name = 'vbuffer_sub' })), 'userdata vbuffer_sub\n')
    local broken = setmetatable({}, { __name = 'tcp', __attributes = { 'src' },
      __index = function () error('invalid tcp packet', 0) end })
    test.equal(printed(broken), 'userdata tcp {\n  src : invalid tcp packet\n}\n')
    local flow = setmetatable({ mine = 1 }, { __name = 'tcp_connection', __class = true,
      __attributes = { 'srcport' }, __index = { srcport = 80 } })
    test.equal(printed(flow), 'class tcp_connection {\n  mine : 1\n  srcport : 80\n}\n')
  end,
  ['pprint: cdata that was announced'] = function ()
    local ffi = require('ffi')
    local Address = ffi.metatype('struct { int n; }', { __tostring = function (a) return '#' .. a.n end })
    lib.pprint.register_cdata(function (value) return ffi.istype(Address, value) end, 'addr')
    test.equal(printed({ a = Address(4) }), 'table {\n  a : userdata addr #4\n}\n')
  end,
  ['pprint: class instances'] = function ()
    local C = lib.class.class('C')
    C.property.late = { get = function () return 1 end }
    C.property.broken = { get = function () error('no', 0) end }
    C.property.unreadable = { set = function () end }
    local c = C:new()
    c.raw = 'x'
    c:addproperty('dynamic', function () return 2 end)
    test.equal(printed(c), [[
class C {
  raw : "x"
  dynamic : 2
  broken : no
  late : 1
}
]])
    function C.method:__pprint(indent, out) out(indent .. 'own') end
    test.equal(printed(c), 'own\n')
  end,
  ['format_error: unchanged unless lua logs debug'] = function ()
    test.equal(debug.format_error('m'), 'm')
    test.equal(debug.format_error(nil), nil)
    host.debug()
    test.equal(debug.format_error(nil), nil)
    test.equal(debug.format_error('m'):match('^m\nstack traceback:\n\t') ~= nil, true)
  end,

  ['the haka table'] = function ()
    test.equal(haka.mode, 'normal')
    test.equal(haka.capture_mode(), 'normal')
    host.passthrough = true
    test.equal(haka.capture_mode(), 'passthrough')
    test.equal(haka.current_thread(), 0)
    haka.exit()
    test.equal(host.exited, true)
    local ok, err = pcall(haka.abort)
    test.equal(ok == false and err == nil, true)
    test.equal(haka.helper.EncapsulatedPacketDissector, haka.helper.PacketDissector)
    test.equal(type(debug.getfenv), 'function')
    test.equal(type(debug.setfenv), 'function')
  end,
}
