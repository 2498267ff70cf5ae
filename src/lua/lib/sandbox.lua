-- The sandbox: turns a VM's globals into what rules may see.
--
-- chunk(host, lib) returns seal(G, extras). It works by allow-lists, so a
-- function that a newer LuaJIT adds stays out until somebody lets it in.
-- Load every library chunk before sealing, with locals for all the standard
-- functions it uses: rules may change any table they see, `string` included,
-- and the library must not notice.
--
-- host.write(fd, text)              standard output (1) and error (2)
-- host.now() -> seconds             packet time
-- host.seed                         number that starts math.random (0)
-- host.package_path                 first package.path (LuaJIT's own)
-- host.read_module(name, path)      -> source, chunk name | nil, tried list
-- host.read_file(name)              -> source, chunk name | nil, message;
--                                   without it no dofile and loadfile
-- host.native_module(name, cpath)   -> loader function | nil, tried list;
--                                   without it no native modules
-- host.chunk_prefix                 what library chunks' names start with
--                                   ('=[wero]'); starts with = or @
-- lib.patterns                      what patterns.lua returned
--
-- Kept out: files, processes, ffi, bytecode, finalizers, hooks, registry,
-- upvalues, foreign environments. Not here: budgets, `print`, `debug.pprint`
-- and the like, which the host passes to seal as extras.

local host, lib = ...

local assert, error, getmetatable, ipairs, load, next, pairs, rawget, rawlen,
  rawset, pcall, select, setmetatable, tonumber, tostring, type, xpcall =
  assert, error, getmetatable, ipairs, load, next, pairs, rawget, rawlen,
  rawset, pcall, select, setmetatable, tonumber, tostring, type, xpcall
local getfenv, setfenv, collectgarbage, getinfo, traceback =
  getfenv, setfenv, collectgarbage, debug.getinfo, debug.traceback
local date, time, clock, difftime, getenv =
  os.date, os.time, os.clock, os.difftime, os.getenv
local find, format, gmatch, sub =
  string.find, string.format, string.gmatch, string.sub
local resume, running, status, wrap =
  coroutine.resume, coroutine.running, coroutine.status, coroutine.wrap
local insert, sort, concat = table.insert, table.sort, table.concat
local floor, randomseed = math.floor, math.randomseed

local chunk_prefix = host.chunk_prefix or '=[wero]'
-- The default name of a chunk is its text, and no Lua text starts like this.
assert(find(chunk_prefix, '^[=@].'), 'chunk_prefix must start with = or @')

-- What the watchdog's hook raises (src/lua/watchdog.rs).
local STOPPED = 'rule stopped: over its time or memory budget'

-- An error handler runs inside the hook that stops a rule, where no hook can
-- stop it in turn: one of a rule's must not be entered there.
local function safe_xpcall(f, handler, ...)
  if type(handler) ~= 'function' then return xpcall(f, handler, ...) end
  return xpcall(f, function (message)
    if message == STOPPED then return message end
    return handler(message)
  end, ...)
end

local ALLOWED = {
  _G = '_VERSION assert error gcinfo getmetatable ipairs next pairs pcall '
    .. 'rawequal rawget rawlen rawset select setmetatable tonumber tostring '
    .. 'type unpack xpcall bit coroutine math string table',
  string = 'byte char format len lower rep reverse sub upper',
  table = 'concat foreach foreachi getn maxn move pack remove unpack',
  math = 'abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp '
    .. 'huge ldexp log log10 max min mod modf pi pow rad random sin sinh '
    .. 'sqrt tan tanh',
  bit = 'arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex',
  coroutine = 'create isyieldable resume running status wrap yield',
}

-- Takes everything out of a table that its allow-list does not name.
local function strip(library, names)
  local keep = {}
  for name in gmatch(names, '%S+') do keep[name] = true end
  for name in pairs(library) do
    if not keep[name] then library[name] = nil end
  end
end

local function bad_argument(index, name, text)
  error(format("bad argument #%d to '%s' (%s)", index, name, text), 3)
end

local function expected(index, name, what, value)
  error(format("bad argument #%d to '%s' (%s expected, got %s)",
    index, name, what, type(value)), 3)
end

-- Environments -----------------------------------------------------------

-- A rule may know and change the environments of rule functions only. What
-- LuaJIT implements itself counts as library, in C or not.
local function is_library(func)
  local info = getinfo(func, 'S')
  return info.what == 'C' or info.linedefined < 0
    or sub(info.source, 1, #chunk_prefix) == chunk_prefix
end

-- Greater levels would wrap around to small ones in getinfo.
local DEEPEST = 1e9

-- The function that a rule means by a level; two frames of ours lie between.
local function at_level(level, name)
  level = tonumber(level)
  local info = level and level >= 1 and level < DEEPEST
    and getinfo(floor(level) + 2, 'f')
  if not info then
    error(format("bad argument #1 to '%s' (invalid level)", name), 3)
  end
  return info.func
end

local function environments(G)
  local function environment(func)
    if is_library(func) then return G end
    return getfenv(func)
  end

  local function change(func, env)
    if is_library(func) then
      error("'setfenv' cannot change environment of given object", 3)
    end
    setfenv(func, env)
  end

  local function safe_getfenv(target)
    if type(target) == 'function' then return environment(target) end
    if target == 0 then return G end
    local func = at_level(target == nil and 1 or target, 'getfenv')
    return environment(func)
  end

  local function safe_setfenv(target, env)
    if type(env) ~= 'table' then expected(2, 'setfenv', 'table', env) end
    local func = target
    if type(target) ~= 'function' then
      -- Level 0 is the whole thread, with the library's functions.
      if target == 0 then
        error("'setfenv' cannot change environment of given object", 2)
      end
      func = at_level(target, 'setfenv')
    end
    change(func, env)
    return func
  end

  local function of_object(object)
    if type(object) == 'function' then return environment(object) end
    return nil
  end

  local function set_of_object(object, env)
    if type(env) ~= 'table' then expected(2, 'setfenv', 'table', env) end
    if type(object) ~= 'function' then
      error("'setfenv' cannot change environment of given object", 2)
    end
    change(object, env)
    return object
  end

  return safe_getfenv, safe_setfenv, of_object, set_of_object
end

-- Loading text -----------------------------------------------------------

local WRONG_MODE = 'attempt to load chunk with wrong mode'

-- No hook fires while LuaJIT compiles, and what it does with jumps grows
-- faster than the text. Files may be longer: they are the operator's.
local LONGEST = 128 * 1024

-- All of what a reader gives, read before LuaJIT compiles any of it: a reader
-- that loads would nest on the native stack, and one that is stopped by the
-- hook would leave LuaJIT believing that it is in the hook for good.
local function read_all(reader)
  local pieces = {}
  while true do
    local ok, piece = pcall(reader)
    if not ok then return nil, piece end
    if piece == nil or piece == '' then return concat(pieces) end
    if type(piece) == 'number' then piece = tostring(piece) end
    if type(piece) ~= 'string' then return nil, 'reader function must return a string' end
    pieces[#pieces + 1] = piece
  end
end

-- Always in mode 't': bytecode is not checked by LuaJIT and can do anything,
-- and of the other modes some yield functions that crash when run.
local function load_text(chunk, name, mode, ...)
  if type(chunk) ~= 'string' then
    if type(chunk) ~= 'number' then expected(1, 'load', 'function', chunk) end
    chunk = tostring(chunk)
  end
  if name ~= nil and type(name) ~= 'string' then
    if type(name) ~= 'number' then expected(2, 'load', 'string', name) end
    name = tostring(name)
  end
  if mode ~= nil then
    if type(mode) ~= 'string' then expected(3, 'load', 'string', mode) end
    if not find(mode, 't', 1, true) then return nil, WRONG_MODE end
  end
  -- Names of library chunks are the library's.
  if name and sub(name, 1, #chunk_prefix) == chunk_prefix then name = '=(load)' end
  if select('#', ...) > 0 then
    return load(chunk, name, 't', (...))
  end
  return load(chunk, name, 't')
end

local function load_short(chunk, name, mode, ...)
  if type(chunk) == 'function' then
    local text, problem = read_all(chunk)
    if not text then return nil, problem end
    chunk, name = text, name == nil and '=(load)' or name
  end
  if type(chunk) == 'string' and #chunk > LONGEST then return nil, 'chunk is too long' end
  return load_text(chunk, name, mode, ...)
end

local function file_loaders()
  local read_file = host.read_file
  if not read_file then return nil end

  local function loadfile(name, mode, ...)
    if type(name) ~= 'string' then expected(1, 'loadfile', 'string', name) end
    local source, chunk_name = read_file(name)
    if not source then return nil, chunk_name end
    return load_text(source, chunk_name, mode, ...)
  end

  local function dofile(name)
    if type(name) ~= 'string' then expected(1, 'dofile', 'string', name) end
    local func, message = loadfile(name)
    if not func then error(message, 0) end
    return func()
  end

  return loadfile, dofile
end

-- The patterns of LUA_PATH come last, as in Haka; LuaJIT's own path has them.
local function first_path(G)
  local own = host.package_path
  if not own then return G.package.path end
  local more = getenv('LUA_PATH')
  return more and own .. ';' .. more or own
end

-- Modules ----------------------------------------------------------------

local function modules(G)
  local loaded = {}
  local package = {
    path = first_path(G),
    cpath = '',
    config = G.package.config,
    loaded = loaded,
    preload = {},
  }

  local function from_preload(name)
    local preload = package.preload
    if type(preload) ~= 'table' then
      error("'package.preload' must be a table", 0)
    end
    return preload[name] or format("\n\tno field package.preload['%s']", name)
  end

  local function from_path(name)
    local path = package.path
    if type(path) ~= 'string' then error("'package.path' must be a string", 0) end
    local source, chunk_name = host.read_module(name, path)
    if not source then return chunk_name or '' end
    local func, message = load_text(source, chunk_name)
    if func then return func end
    error(format("error loading module '%s' from file '%s':\n\t%s", name,
      sub(chunk_name or '?', 2), message), 0)
  end

  package.loaders = { from_preload, from_path }
  if host.native_module then
    package.loaders[3] = function (name)
      local func, message = host.native_module(name, package.cpath)
      return func or message or ''
    end
  end

  -- Stands in `loaded` while a module runs, and stays when it fails.
  local running = function () end

  local function require(name)
    if type(name) == 'number' then name = tostring(name) end
    if type(name) ~= 'string' then expected(1, 'require', 'string', name) end
    local value = loaded[name]
    if value == running then
      error(format("loop or previous error loading module '%s'", name), 2)
    elseif value then
      return value
    end
    local loaders = package.loaders
    if type(loaders) ~= 'table' then
      error("'package.loaders' must be a table", 2)
    end
    local tried, loader = {}, nil
    for k = 1, rawlen(loaders) do
      local answer = loaders[k](name)
      if type(answer) == 'function' then
        loader = answer
        break
      elseif type(answer) == 'string' then
        tried[#tried + 1] = answer
      end
    end
    if not loader then
      local feature = host.left_out[name]
      if feature then
        error(format("module '%s' is not in this build of Wero: build it with the cargo feature '%s'",
          name, feature), 2)
      end
      error(format("module '%s' not found:%s", name, concat(tried)), 2)
    end
    loaded[name] = running
    value = loader(name)
    if value ~= nil then
      loaded[name] = value
    elseif loaded[name] == running then
      loaded[name] = true
    end
    return loaded[name]
  end

  -- The table that a dotted name denotes below the globals, made on the way.
  local function module_table(name)
    local at, from = G, 1
    repeat
      local dot = find(name, '.', from, true)
      local key = sub(name, from, dot and dot - 1)
      local child = rawget(at, key)
      if child == nil then
        child = {}
        at[key] = child
      elseif type(child) ~= 'table' then
        error(format("name conflict for module '%s'", name), 3)
      end
      at, from = child, dot and dot + 1
    until not dot
    return at
  end

  local function module(name, ...)
    if type(name) ~= 'string' then expected(1, 'module', 'string', name) end
    local caller = getinfo(2, 'f')
    if not caller or is_library(caller.func) then
      error("'module' not called from a Lua function", 2)
    end
    local env = loaded[name]
    if type(env) ~= 'table' then
      env = module_table(name)
      loaded[name] = env
    end
    if env._NAME == nil then
      local parent, dot = '', find(name, '.', 1, true)
      while dot do
        parent, dot = sub(name, 1, dot), find(name, '.', dot + 1, true)
      end
      env._M, env._NAME, env._PACKAGE = env, name, parent
    end
    setfenv(caller.func, env)
    for k = 1, select('#', ...) do select(k, ...)(env) end
    return env
  end

  function package.seeall(env)
    if type(env) ~= 'table' then expected(1, 'seeall', 'table', env) end
    local meta = getmetatable(env)
    if meta == nil then
      setmetatable(env, { __index = G })
    elseif type(meta) == 'table' then
      -- Asking again through setmetatable respects a protected one.
      setmetatable(env, meta)
      meta.__index = G
    else
      error('cannot change a protected metatable', 2)
    end
  end

  return package, require, module
end

-- Input, output and time -------------------------------------------------

local function output()
  local methods, descriptors = {}, setmetatable({}, { __mode = 'k' })
  local write = host.write

  local function file(descriptor, name)
    local self = setmetatable({}, {
      __index = methods,
      __metatable = 'FILE*',
      __newindex = function () error('a file has no fields to set', 2) end,
      __tostring = function () return 'file (' .. name .. ')' end,
    })
    descriptors[self] = descriptor
    return self
  end

  local function put(descriptor, first, ...)
    for k = 1, select('#', ...) do
      local value = select(k, ...)
      if type(value) == 'number' then
        value = tostring(value)
      elseif type(value) ~= 'string' then
        error(format("bad argument #%d to 'write' (string expected, got %s)",
          k - 1 + first, type(value)), 3)
      end
      write(descriptor, value)
    end
  end

  function methods.write(self, ...)
    local descriptor = descriptors[self]
    if not descriptor then expected(1, 'write', 'FILE*', self) end
    put(descriptor, 1, ...)
    return self
  end

  -- Whatever is written is out at once.
  function methods.flush(self) return self end
  function methods.setvbuf() return true end

  local stdout, stderr = file(1, 'stdout'), file(2, 'stderr')
  return {
    stdout = stdout,
    stderr = stderr,
    write = function (...)
      put(1, 1, ...)
      return stdout
    end,
    flush = function () return stdout end,
    type = function (value) return descriptors[value] and 'file' or nil end,
  }
end

local function packet_clock()
  local now = host.now
  return {
    clock = clock,
    difftime = difftime,
    getenv = getenv,
    time = function (fields)
      if fields == nil then return floor(now()) end
      return time(fields)
    end,
    date = function (pattern, at)
      return date(pattern == nil and '%c' or pattern, at == nil and floor(now()) or at)
    end,
  }
end

-- Coroutines -------------------------------------------------------------

-- LuaJIT runs a coroutine on the native stack of the one that resumes it and
-- does not count them, so that a nest of them would overflow it.
local NESTED = 100

-- How deep a coroutine was when it was last resumed. Held by the coroutines
-- themselves and not by a counter, since a rule may be stopped anywhere.
local depths = setmetatable({}, { __mode = 'k' })

-- The depth of a coroutine that the running one resumes, or nil.
local function next_depth()
  local depth = (depths[running()] or 0) + 1
  return depth <= NESTED and depth or nil
end

local function safe_resume(co, ...)
  if type(co) == 'thread' then
    local depth = next_depth()
    if not depth then return false, 'C stack overflow' end
    if depths[co] ~= depth and status(co) == 'suspended' then depths[co] = depth end
  end
  return resume(co, ...)
end

local function safe_wrap(body)
  if type(body) ~= 'function' then expected(1, 'wrap', 'function', body) end
  local co, depth
  local go_on = wrap(function (...)
    co = running()
    depths[co] = depth
    return body(...)
  end)
  return function (...)
    depth = next_depth()
    if not depth then error('C stack overflow', 2) end
    if co and status(co) == 'suspended' then depths[co] = depth end
    return go_on(...)
  end
end

-- The rest ---------------------------------------------------------------

-- Levels count from the caller, and functions themselves are not told.
local function safe_getinfo(...)
  local thread, target, what = ...
  if type(thread) ~= 'thread' then thread, target, what = nil, thread, target end
  local wanted = 'nSlu'
  if what ~= nil then
    if type(what) ~= 'string' then expected(2, 'getinfo', 'string', what) end
    wanted = ''
    for k = 1, #what do
      local option = sub(what, k, k)
      if not find('nSlufL', option, 1, true) then
        bad_argument(2, 'getinfo', 'invalid option')
      end
      if option ~= 'f' and option ~= 'L' then wanted = wanted .. option end
    end
  end
  if type(target) == 'string' then target = tonumber(target) end
  if type(target) ~= 'function' and type(target) ~= 'number' then
    bad_argument(1, 'getinfo', 'function or level expected')
  end
  local info
  if thread then
    info = getinfo(thread, target, wanted)
  elseif type(target) == 'function' then
    info = getinfo(target, wanted)
  elseif target >= 0 and target < DEEPEST then
    info = getinfo(target + 1, wanted)
  end
  return info
end

-- Rules may look at the collector and push it a little, not steer it: code
-- that tunes it keeps running, and nothing happens.
local COLLECTOR = { stop = 0, restart = 0, setpause = 200, setstepmul = 200,
  isrunning = true }

local function safe_collectgarbage(option)
  if option == nil then option = 'collect' end
  if option == 'count' then return collectgarbage('count') end
  if option == 'collect' or option == 'step' then
    local finished = collectgarbage('step', 100)
    return option == 'step' and finished or 0
  end
  local answer = COLLECTOR[option]
  if answer == nil then
    bad_argument(1, 'collectgarbage', format("invalid option '%s'", tostring(option)))
  end
  return answer
end

-- No hook fires inside the C loops of these two, so long ones run in Lua.
local LONG = 1000

local function safe_insert(list, ...)
  if select('#', ...) ~= 2 or type(list) ~= 'table' then return insert(list, ...) end
  local at, value = ...
  local position = tonumber(at)
  local last = rawlen(list) + 1
  if not position or position >= last - LONG and position < 2 ^ 31 then
    return insert(list, at, value)
  end
  position = floor(position)
  for k = last, position + 1, -1 do rawset(list, k, rawget(list, k - 1)) end
  rawset(list, position, value)
end

local function less(a, b) return a < b end

local function safe_sort(list, before)
  if before == nil and type(list) == 'table' and rawlen(list) > LONG then
    before = less
  end
  return sort(list, before)
end

-- What getmetatable('') gives: readable as ever, but not to be written,
-- since the library's strings have the same one.
local function guard_strings(string_library)
  getmetatable('').__metatable = setmetatable({}, {
    __index = { __index = string_library },
    __newindex = function () error('the metatable of strings is protected', 2) end,
    __metatable = false,
  })
end

local function default_print(...)
  local parts = {}
  for k = 1, select('#', ...) do parts[k] = tostring((select(k, ...))) end
  host.write(1, concat(parts, '\t') .. '\n')
end

-- Adds the host's names; tables of the same name grow instead of changing.
local function add(target, extras, growing)
  for name, value in next, extras do
    local known = rawget(target, name)
    if type(value) == 'table' and type(known) == 'table' and growing[name] then
      add(known, value, growing[name])
    else
      target[name] = value
    end
  end
end

local LEAF = {}
local GROWING = {
  bit = LEAF, coroutine = LEAF, debug = LEAF, io = LEAF, jit = LEAF,
  math = LEAF, os = LEAF, string = LEAF, table = LEAF,
  package = { loaded = LEAF, preload = LEAF },
}

--- Seals the globals `G` in place, once. `extras` maps names to what the
--- host adds; tables named like a library (`debug`, `package.preload`) are
--- merged into it. Other globals the host set before are removed.
local function seal(G, extras)
  local jit = G.jit
  local package, require, module = modules(G)
  strip(G, ALLOWED._G)
  for name, names in next, ALLOWED do
    if name ~= '_G' then strip(G[name], names) end
  end
  G._G = G

  for name, func in next, lib.patterns do G.string[name] = func end
  guard_strings(G.string)
  G.table.insert, G.table.sort = safe_insert, safe_sort
  G.pairs, G.table.foreach = lib.ordered.pairs, lib.ordered.foreach
  G.coroutine.resume, G.coroutine.wrap = safe_resume, safe_wrap
  local seed = host.seed or 0
  randomseed(seed)
  G.math.randomseed = function (number) randomseed(tonumber(number) or seed) end

  G.collectgarbage = safe_collectgarbage
  G.print, G.xpcall = default_print, safe_xpcall
  G.load, G.loadstring = load_short, load_short
  G.loadfile, G.dofile = file_loaders()
  G.package, G.require, G.module = package, require, module
  G.io, G.os = output(), packet_clock()
  G.jit = { version = jit.version, version_num = jit.version_num, os = jit.os,
    arch = jit.arch, status = jit.status }
  G.debug = { getinfo = safe_getinfo, traceback = traceback }
  G.getfenv, G.setfenv, G.debug.getfenv, G.debug.setfenv = environments(G)

  package.loaded._G = G
  for _, name in ipairs { 'bit', 'coroutine', 'debug', 'io', 'jit', 'math',
    'os', 'package', 'string', 'table' } do
    package.loaded[name] = G[name]
  end
  if extras then add(G, extras, GROWING) end
end

return seal
