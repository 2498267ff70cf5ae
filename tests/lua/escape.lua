-- Attempts to get out of the sandbox, each named. An attempt that returns
-- anything true has succeeded; so has one after which the library misbehaves.
-- `library` is a table of host functions, with `ffi` in their upvalues.

local function reaches_ffi(value)
  return type(value) == 'table' and value.cdef ~= nil and value
end

-- A function that a rule brought along, dumped elsewhere.
local BYTECODE = library.bytecode

local function fields(name, list)
  return function ()
    local object = _G[name]
    for field in list:gmatch('%S+') do
      if object[field] ~= nil then return name .. '.' .. field end
    end
  end
end

return {
  -- Names that must be gone.
  { 'global ffi', function () return ffi end },
  { 'global newproxy', function () return newproxy end },
  { 'file functions of io',
    fields('io', 'open popen lines read input output tmpfile close stdin') },
  { 'process and file functions of os',
    fields('os', 'execute exit remove rename tmpname setlocale') },
  { 'dangerous debug functions', fields('debug', 'debug sethook gethook getregistry getmetatable '
    .. 'setmetatable getupvalue setupvalue upvalueid upvaluejoin getlocal setlocal '
    .. 'getuservalue setuservalue') },
  { 'steering the compiler', fields('jit', 'util opt attach on off flush profile security') },
  { 'package.loadlib', fields('package', 'loadlib searchpath') },
  { 'string.dump', fields('string', 'dump buffer') },

  -- Modules.
  { 'require ffi', function () return require('ffi') end },
  { 'require jit.util', function () return require('jit.util') end },
  { 'require jit.opt', function () return require('jit.opt') end },
  { 'require string.buffer', function () return require('string.buffer') end },
  { 'package.loaded.ffi', function () return package.loaded.ffi end },
  { 'package.preload.ffi', function () return package.preload.ffi end },
  { 'any loaded table with cdef', function ()
    for _, value in pairs(package.loaded) do
      if reaches_ffi(value) then return value end
    end
  end },
  { 'original io behind package.loaded', function () return package.loaded.io.open end },
  { 'original debug behind package.loaded', function ()
    return package.loaded.debug.getregistry
  end },
  { 'a loader that loads C', function ()
    package.cpath = './?.so;/usr/lib/x86_64-linux-gnu/?.so.6'
    for k = 1, 6 do
      local loader = package.loaders[k]
      local found = loader and loader('libc')
      if type(found) == 'function' then return found end
    end
  end },
  { 'require of a C library', function ()
    package.cpath = '/lib/x86_64-linux-gnu/?.so.6'
    return require('libc')
  end },
  { 'replacing package.loaded', function ()
    local own = package.loaded
    package.loaded = setmetatable({}, { __index = function (_, name) return name end })
    local ok, got = pcall(require, 'ffi')
    package.loaded = own
    return ok and got
  end },
  { 'a module of bytecode', function () return require('bytecode') end },
  { 'module over a library table', function ()
    local function inside() module('library', package.seeall) end
    inside()
    return library.intact == nil or reaches_ffi(library._M.secret)
  end },
  { 'seeall on a protected table', function ()
    package.seeall(library.frozen)
    return getmetatable(library.frozen) or library.frozen.print
  end },
  { 'seeall on a protected library object', function ()
    package.seeall(io.stdout)
    return io.stdout.print
  end },
  { 'module changing its caller in the library', function ()
    return library.call(module, 'stolen', package.seeall)
  end },

  -- Bytecode.
  { 'load of bytecode', function () return (load(BYTECODE)) end },
  { 'load of bytecode, mode b', function () return (load(BYTECODE, 'x', 'b')) end },
  { 'load of bytecode, mode bt', function () return (load(BYTECODE, 'x', 'bt')) end },
  { 'bytecode is named as such', function ()
    local _, message = load(BYTECODE)
    return not message:find('wrong mode', 1, true) and message
  end },
  { 'a prototype instead of a function', function ()
    local got = load('return 1', 'x', 'tX') or load('return 1', 'x', 'tW')
    return type(got) ~= 'function' and got
  end },
  { 'loadstring of bytecode', function () return (loadstring(BYTECODE)) end },
  { 'load of bytecode in pieces', function ()
    local at = 0
    return (load(function ()
      at = at + 1
      return at <= #BYTECODE and BYTECODE:sub(at, at) or nil
    end))
  end },
  { 'load of bytecode behind a shebang', function () return (load('#!lua\n' .. BYTECODE)) end },
  { 'load of bytecode behind a mark', function () return (load('\239\187\191' .. BYTECODE)) end },
  { 'loadfile of bytecode', function () return (loadfile('./bytecode.lua')) end },
  { 'dofile of bytecode', function () return dofile('./bytecode.lua') end },
  { 'loadfile of a system file', function () return (loadfile('/etc/passwd')) end },
  { 'load with a metatable for mode', function ()
    return (load(BYTECODE, 'x', setmetatable({}, { __tostring = function () return 'b' end })))
  end },

  -- Environments.
  { 'getfenv(0).ffi', function () return getfenv(0).ffi or getfenv(0).newproxy end },
  { 'getfenv of a library function', function () return getfenv(library.intact) ~= _G end },
  { 'getfenv of built-in functions', function ()
    return getfenv(print) ~= _G or getfenv(pcall) ~= _G or getfenv(table.remove) ~= _G
  end },
  { 'getfenv at every level', function ()
    for level = 0, 50 do
      local ok, env = pcall(getfenv, level)
      if ok and (env.ffi or env.host) then return env end
    end
  end },
  { 'setfenv of a library function', function () return setfenv(library.intact, {}) end },
  { 'debug.setfenv of a library function', function ()
    return debug.setfenv(library.intact, {})
  end },
  { 'setfenv of a sandbox function', function () return setfenv(require, {}) end },
  { 'setfenv of a built-in function', function ()
    return setfenv(table.remove, {}) or setfenv(print, {})
  end },
  { 'setfenv(0)', function () return setfenv(0, { tostring = print }) end },
  { 'setfenv(0) as a numeral', function () return setfenv('0', {}) end },
  { 'setfenv(0) as a fraction', function () return setfenv(0.5, {}) end },
  { 'setfenv on a library frame above', function ()
    library.call(function ()
      for level = 2, 4 do pcall(setfenv, level, {}) end
      setfenv(2, {})
    end)
    return true
  end },
  { 'setfenv called by the library', function () return library.call(setfenv, 1, {}) end },
  { 'setfenv from a coroutine', function ()
    return coroutine.wrap(function () return setfenv(0, {}) end)()
  end },
  { 'setfenv on a thread', function ()
    return debug.setfenv(coroutine.create(print), {})
  end },
  { 'posing as the library', function ()
    local f = assert(load('return 1', '=[wero]/x.lua'))
    return debug.getinfo(f, 'S').source:find('wero', 1, true)
  end },
  { 'load into a borrowed environment', function ()
    local f = load('return ffi or newproxy or debug.getregistry', 'x', 't', getfenv(library.intact))
    return f()
  end },

  -- Metatables.
  { 'metatable of a host object', function () return getmetatable(library.object) end },
  { 'setmetatable on a host object', function () return setmetatable(library.object, {}) end },
  { 'rawset on a host object', function () return rawset(library.object, 'name', 1) end },
  { 'metatable of a protected table', function ()
    return getmetatable(library.frozen) or setmetatable(library.frozen, {})
  end },
  { 'writing the metatable of strings', function ()
    getmetatable('').__index = function () return 1 end
    return ('x').anything
  end },
  { 'rawset on the metatable of strings', function ()
    rawset(getmetatable(''), '__index', function () return 1 end)
    return ('x').anything
  end },
  { 'metatable of that metatable', function () return getmetatable(getmetatable('')) end },
  { 'setmetatable on a string', function () return setmetatable('', {}) end },
  { 'metatables of plain values', function ()
    return getmetatable(1) or getmetatable(print) or getmetatable(true)
      or getmetatable(coroutine.create(print)) or getmetatable(nil)
  end },
  { 'metatable of a 64-bit literal', function ()
    local meta = getmetatable(load('return 1LL')())
    return type(meta) ~= 'string' and meta or meta.new or meta.cast
  end },
  { '64-bit literals index nothing', function ()
    return load('return (1LL).x or (1ULL)[0] or (1i).cdef')()
  end },
  { 'metatable of a file', function ()
    local meta = getmetatable(io.stdout)
    return type(meta) == 'table' and meta
  end },
  { 'changing a file', function ()
    io.stdout.write = print
    return rawget(io.stdout, 'write')
  end },
  { 'a file method on another object', function ()
    return io.stdout.write(setmetatable({}, { __index = io.stdout }), 'x')
  end },

  -- Changing what the library might use.
  { 'poisoning every global function', function ()
    local kept = {}
    for _, name in ipairs { 'tostring', 'type', 'pairs', 'error', 'select', 'load', 'rawget' } do
      kept[name] = rawget(_G, name)
    end
    local caught
    local function trap(...)
      for k = 1, kept.select('#', ...) do
        caught = caught or reaches_ffi((kept.select(k, ...)))
      end
    end
    for name in next, kept do _G[name] = trap end
    local ok = pcall(function ()
      string.gsub('a1', '%d', '%0')
      os.time()
      io.write('x', 1)
      require('good')
    end)
    for name, value in next, kept do _G[name] = value end
    return caught or not ok
  end },
  { 'poisoning the string library', function ()
    local kept, caught = {}, nil
    for name, value in pairs(string) do kept[name] = value end
    for name in next, kept do
      if name ~= 'gsub' then string[name] = function () caught = name end end
    end
    local ok, got = pcall(kept.gsub, 'a1', '%d', '<%0>')
    pcall(require, 'absent')
    for name, value in next, kept do string[name] = value end
    return caught or not ok or got ~= 'a<1>'
  end },
  { 'a metatable on the globals', function ()
    local caught
    setmetatable(_G, { __index = function (_, name) caught = name end })
    pcall(string.find, 'x', '%f')
    pcall(require, 'absent')
    pcall(os.date)
    setmetatable(_G, nil)
    return caught
  end },

  -- Looking inside.
  { 'functions through getinfo', function ()
    local info = debug.getinfo(library.intact)
    return info.func or debug.getinfo(1, 'f').func or debug.getinfo(library.intact, 'fL').func
  end },
  { 'getinfo with the stack option', function () return debug.getinfo(print, '>S') end },
  { 'frames through getinfo', function ()
    for level = 0, 30 do
      local info = debug.getinfo(level)
      if not info then return end
      for _, value in pairs(info) do
        if type(value) == 'function' or type(value) == 'table' then return value end
      end
    end
  end },
  { 'functions of another thread', function ()
    local thread = coroutine.create(function () coroutine.yield() end)
    coroutine.resume(thread)
    return debug.getinfo(thread, 1, 'fS').func
  end },
  { 'objects in a traceback', function ()
    return type(debug.traceback('x')) ~= 'string'
  end },
  { 'error objects of the library', function ()
    local _, object = pcall(library.raise)
    return getmetatable(object) or object.ffi
  end },
  { 'error objects of the sandbox', function ()
    for _, f in ipairs { require, load, setfenv, os.date, string.find, module, io.write } do
      local ok, object = pcall(f, {}, {}, {})
      if not ok and type(object) ~= 'string' then return object end
    end
  end },
  { 'arguments of error handlers', function ()
    local _, object = xpcall(library.raise, function (...) return select('#', ...) > 1 and ... end)
    return object
  end },
  { 'a callback that looks up the stack', function ()
    return library.call(function ()
      for level = 1, 10 do
        local ok, env = pcall(getfenv, level)
        if ok and rawget(env, 'secret') then return env end
      end
    end)
  end },
  { 'a replacement that looks up the stack', function ()
    local found
    string.gsub('a', 'a', function ()
      for level = 1, 10 do
        local info = debug.getinfo(level, 'nSlu')
        if info and info.func then found = info end
      end
    end)
    return found
  end },
  { 'coroutine functions as a way to the main thread', function ()
    local main, is_main = coroutine.running()
    return is_main and (debug.getfenv(main) or getmetatable(main))
  end },
  { 'resuming the running thread', function ()
    return (coroutine.resume((coroutine.running())))
  end },

  -- Confusing arguments.
  { 'write of an object with __tostring', function ()
    return io.write(setmetatable({}, { __tostring = function () return 'x' end }))
  end },
  { 'require of an object', function ()
    return require(setmetatable({}, { __tostring = function () return 'ffi' end }))
  end },
  { 'patterns on cdata', function ()
    return string.find(load('return 1LL')(), '1') or string.match('a', load('return 1LL')())
  end },
  { 'a table as environment level', function () return getfenv({}) end },
  { 'not a number as level', function () return getfenv(0 / 0) end },
  { 'a huge level', function () return getfenv(2 ^ 53) end },
  { 'a negative level', function () return getfenv(-1) or setfenv(-1, {}) end },
  { 'os.date with a wild format', function ()
    return not tostring(os.date('%Y')):find('^%d+$')
  end },

  -- Holding up or starving the worker where no hook fires.
  { 'stopping the collector', function ()
    collectgarbage('stop')
    local before = collectgarbage('count')
    for _ = 1, 3e5 do local _ = { {} } end
    return collectgarbage('count') - before > 20000 and 'it stopped'
  end },
  { 'unknown collector options', function () return collectgarbage('generational') end },
  { 'finalizers on tables', function ()
    local ran
    for _ = 1, 100 do setmetatable({}, { __gc = function () ran = true end }) end
    for _ = 1, 2000 do collectgarbage() end
    return ran
  end },
  { 'an endless pattern', function () return string.find(('a'):rep(3e5), '.-b') end },
  { 'a giant string', function () return ('x'):rep(1e9) end },
  { 'too many results', function () return unpack({}, 1, 1e8) end },
}
