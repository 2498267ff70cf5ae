-- Environments for definitions: functions that are run once and find words
-- in their globals that nobody else sees.
--
-- The function gets an environment of its own, which shows the words first
-- and the real globals behind them. Helper functions that it calls see the
-- words too, through the globals' metatable, but there a global of the same
-- name wins. All of it is undone when the function ends, however it ends:
-- closures it made then have the plain globals.

local _, lib = ...

local error, format, pairs, pcall, rawget, rawset, setmetatable, type =
  error, string.format, pairs, pcall, rawget, rawset, setmetatable, type
local getfenv, setfenv = getfenv, setfenv
local get_metatable, set_metatable = debug.getmetatable, debug.setmetatable

local definition = {}

-- What a table reads and writes by default, with `meta` or without.
local function read(of, meta, key)
  local index = meta and meta.__index
  if type(index) == 'function' then return index(of, key) end
  if index ~= nil then return index[key] end
end

local function write(of, meta, key, value)
  local newindex = meta and meta.__newindex
  if type(newindex) == 'function' then return newindex(of, key, value) end
  if newindex ~= nil then newindex[key] = value else rawset(of, key, value) end
end

-- The metatable that shows words to functions of the globals.
local function for_helpers(meta, lookup, assign)
  local shown = {}
  for key, value in pairs(meta or {}) do shown[key] = value end
  function shown.__index(of, key)
    local word = lookup(key)
    if word ~= nil then return word end
    return read(of, meta, key)
  end
  function shown.__newindex(of, key, value)
    if not assign(key, value) then write(of, meta, key, value) end
  end
  return shown
end

-- Runs `fn`. `lookup(name)` gives a word or nil; `assign(name, value)` takes
-- an assignment, or returns false when it is none of its own. Errors of `fn`
-- leave unchanged.
function definition.run(fn, lookup, assign)
  local globals = getfenv(fn)
  local own = {}
  function own.__index(_, key)
    local word = lookup(key)
    if word ~= nil then return word end
    return globals[key]
  end
  function own.__newindex(_, key, value)
    if not assign(key, value) then globals[key] = value end
  end
  local meta = get_metatable(globals)
  set_metatable(globals, for_helpers(meta, lookup, assign))
  setfenv(fn, setmetatable({}, own))
  local ok, message = pcall(fn)
  setfenv(fn, globals)
  set_metatable(globals, meta)
  own.__index, own.__newindex = globals, globals
  if not ok then error(message, 0) end
end

return definition
