-- What rules rely on and the sandbox must not take away.

local function fails(text, f, ...)
  local ok, message = pcall(f, ...)
  assert(not ok, 'it should fail: ' .. text)
  assert(message:find(text, 1, true), message)
end

local function check(value, wanted)
  if value ~= wanted then
    error(('%s instead of %s'):format(tostring(value), tostring(wanted)), 2)
  end
end

return {
  { 'the dialect', function ()
    check(_VERSION, 'Lua 5.1')
    check(rawlen({ 1, 2 }), 2)
    check(select('#', table.unpack(table.pack(1, nil, 3), 1, 3)), 3)
    check(#setmetatable({}, { __len = function () return 9 end }), 9)
    check(bit.band(255, 15), 15)
    check(unpack({ 1 }), 1)
    assert(jit.version:find('LuaJIT', 1, true))
  end },
  { 'methods of strings', function ()
    check(('a.b'):gsub('%.', '-'), 'a-b')
    check(('a'):rep(3):upper(), 'AAA')
    check(getmetatable('').__index, string)
    function string.shout(text) return text:upper() .. '!' end
    check(('hey'):shout(), 'HEY!')
    string.shout = nil
  end },
  { 'require', function ()
    local good = require('good')
    check(good, package.loaded.good)
    check(good.name, 'good')
    check(good.env, _G)
    check(require('none'), true)
    check(require('none'), true)
    check(loaded_none, 1)
    check(require('string'), string)
    check(require('given'), 'given given')
    package.preload.own = function () return 5 end
    check(require('own'), 5)
  end },
  { 'what require says', function ()
    local ok, message = pcall(function () local x = require('absent') return x end)
    assert(not ok)
    check(message:match(':%d+: (.*)'), "module 'absent' not found:"
      .. "\n\tno field package.preload['absent']\n\tno file './absent.lua'")
    fails("error loading module 'broken' from file './broken.lua':\n\t./broken.lua:1:",
      require, 'broken')
    fails("loop or previous error loading module 'loop'", require, 'loop')
    fails('told you', require, 'raises')
    fails("loop or previous error loading module 'raises'", require, 'raises')
    package.loaded.raises = nil
    fails('told you', require, 'raises')
    fails("bad argument #1 to 'require' (string expected, got table)", require, {})
  end },
  { 'package.path', function ()
    fails("no file './packages/packages/old.lua'", function ()
      package.path = './packages/?.lua'
      require('packages.old')
    end)
    package.path = './?.lua;' .. package.path
    local old = require('packages.old')
    check(old.hello(), 'packages.old')
    check(old._PACKAGE, 'packages.')
    check(packages.old, old)
    package.path = false
    fails("'package.path' must be a string", require, 'elsewhere')
    package.path = './?.lua'
  end },
  { 'own loaders', function ()
    table.insert(package.loaders, function (name)
      if name == 'virtual' then return function (...) return ... end end
      return '\n\tno virtual ' .. name
    end)
    check(require('virtual'), 'virtual')
    fails('no virtual absent', require, 'absent')
    package.loaders[#package.loaders] = nil
  end },
  { 'load', function ()
    check(load('return 1 + 1')(), 2)
    check(loadstring('return ...', '=name')(7), 7)
    check(load('x = 1', 'n', 't', {})(), nil)
    check(x, nil)
    local env = {}
    load('y = 2', 'n', nil, env)()
    check(env.y, 2)
    local parts = { 'return ', '"pieces"', nil }
    check(load(function () return table.remove(parts, 1) end)(), 'pieces')
    local f, message = load('return +', '=text')
    check(f, nil)
    assert(message:find('^text:1:'), message)
    check(select(2, load('return 1', 'n', 'b')), 'attempt to load chunk with wrong mode')
    fails("bad argument #1 to 'load' (function expected, got nil)", load)
  end },
  { 'dofile and loadfile', function ()
    check(dofile('./good.lua').env, _G)
    local f, message = loadfile('./absent.lua')
    check(f, nil)
    check(message, 'cannot open ./absent.lua')
    fails('cannot open ./absent.lua', dofile, './absent.lua')
  end },
  { 'environments of rule functions', function ()
    local function f() return value end
    check(getfenv(f), _G)
    check(setfenv(f, { value = 3 }), f)
    check(f(), 3)
    check(debug.getfenv(f).value, 3)
    debug.setfenv(f, _G)
    check(getfenv(), _G)
    local function own()
      setfenv(1, { value = 4, getfenv = getfenv })
      return value, getfenv(1).value, getfenv().value
    end
    local a, b, c = own()
    check(a, 4) check(b, 4) check(c, 4)
    local function callee() setfenv(2, setmetatable({ value = 5 }, { __index = _G })) end
    local function caller() callee() return value end
    check(caller(), 5)
    fails('invalid level', getfenv, 99)
    fails("bad argument #2 to 'setfenv' (table expected, got nil)", setfenv, f)
    fails("'setfenv' cannot change environment of given object", setfenv, print, {})
  end },
  { 'module', function ()
    local function inside()
      module('a.b', package.seeall)
      exported = tostring(1)
    end
    inside()
    check(a.b.exported, '1')
    check(a.b._NAME, 'a.b')
    check(package.loaded['a.b'], a.b)
    fails("name conflict for module 'print.x'", function () module('print.x') end)
    a = nil
  end },
  { 'output', function ()
    for k in pairs(written) do written[k] = nil end
    check(io.write('a', 1, '\n'), io.stdout)
    io.stdout:write('b'):write('c')
    io.stderr:write('d')
    print('e', nil, 2)
    check(table.concat(written, '|'), '1:a|1:1|1:\n|1:b|1:c|2:d|1:e\tnil\t2\n')
    check(io.type(io.stderr), 'file')
    fails("bad argument #2 to 'write' (string expected, got table)", io.write, 'x', {})
  end },
  { 'packet time', function ()
    check(os.time(), 1234567890)
    check(os.date('!%Y-%m-%d %H:%M:%S'), '2009-02-13 23:31:30')
    check(os.date('!%Y', 0), '1970')
    check(os.date('!*t').year, 2009)
    check(os.time(os.date('*t', 86400 * 365)), 86400 * 365)
    assert(os.clock() >= 0 and os.difftime(3, 1) == 2 and os.getenv('PATH'))
  end },
  { 'repeatable randomness', function ()
    math.randomseed(42)
    local first = math.random(1e6)
    math.randomseed(42)
    check(math.random(1e6), first)
    math.randomseed()
    local seeded = math.random(1e6)
    math.randomseed(7) -- the host's seed
    check(math.random(1e6), seeded)
  end },
  { 'debug', function ()
    local info = debug.getinfo(1, 'Sl')
    check(info.short_src, 'sandbox.lua')
    assert(info.currentline > 100)
    local function named() return debug.getinfo(1, 'n').name, 1 end
    check((named()), 'named')
    check(debug.getinfo(check).nups, 0)
    check(debug.getinfo(check, 'S').what, 'Lua')
    check(debug.getinfo(print, 'S').short_src, '[wero]/sandbox.lua')
    check(debug.getinfo(99), nil)
    assert(debug.traceback('here'):find('^here\nstack traceback:'))
    assert(debug.pprint)
    fails('invalid option', debug.getinfo, 1, 'x')
  end },
  { 'coroutines', function ()
    local wrapped = coroutine.wrap(function (a)
      local ok, b = pcall(function () return coroutine.yield(a + 1) end)
      return ok and b * 2
    end)
    check(wrapped(1), 2)
    check(wrapped(4), 8)
    local thread, main = coroutine.running()
    check(type(thread), 'thread')
    check(main, true)
  end },
  { 'tables', function ()
    local list = { 'b', 'c' }
    table.insert(list, 1, 'a')
    table.insert(list, 'd')
    check(table.concat(list), 'abcd')
    check(table.remove(list), 'd')
    local long = {}
    for k = 1, 3000 do long[k] = (k * 7919) % 3001 end
    table.insert(long, 1, -1)
    check(#long, 3001)
    check(long[2], 7919 % 3001)
    check(long[3001], (3000 * 7919) % 3001)
    table.sort(long)
    for k = 2, #long do assert(long[k - 1] < long[k]) end
    table.sort(long, function (a, b) return a > b end)
    check(long[3001], -1)
    fails('wrong number of arguments', table.insert, list, 1, 2, 3)
    fails('number expected', table.insert, list, 'x', 3)
    fails('wrong number of arguments', table.insert, list)
  end },
  { 'pairs has one order', function ()
    local function keys(t)
      local list = {}
      for key, value in pairs(t) do
        assert(t[key] == value)
        list[#list + 1] = tostring(key)
      end
      return table.concat(list, ' ')
    end
    check(keys { b = 1, a = 2, [10] = 3, [9] = 4, [true] = 5, 'x', [-1.5] = 6 }, '-1.5 1 9 10 a b true')
    check(keys {}, '')
    check(keys { 'x', 'y', 'z' }, '1 2 3')
    check(keys(setmetatable({ b = 1, a = 2 }, { __index = { c = 3 } })), 'a b')
    local t, seen = { a = 1, b = 2, c = 3, d = 4 }, ''
    for key in pairs(t) do
      seen = seen .. key
      t[key], t.c = nil, nil
    end
    check(seen, 'abd')
    check(next(t), nil)
    local own = setmetatable({}, { __pairs = function () return next, { only = 1 } end })
    for key in pairs(own) do check(key, 'only') end
    local large = {}
    for k = 1, 10000 do large['k' .. k] = k end
    local count = 0
    for _ in pairs(large) do count = count + 1 end
    check(count, 10000)
    check(table.foreach({ b = 1, a = 2 }, function (key) return key end), 'a')
    fails('table expected', pairs, nil)
  end },
  { 'the collector', function ()
    assert(collectgarbage('count') > 1)
    check(collectgarbage(), 0)
    assert(collectgarbage('step') ~= nil)
    check(collectgarbage('setpause', 100), 200)
    fails("invalid option 'x'", collectgarbage, 'x')
  end },
  { 'patterns are the limited ones', function ()
    fails('gave up after 100000 steps', function () return ('a'):rep(1e5):match('.-b') end)
    local words = {}
    for word in ('one two'):gmatch('%a+') do words[#words + 1] = word end
    check(table.concat(words, ','), 'one,two')
  end },
}
