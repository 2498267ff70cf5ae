-- The variables of a running function, for code typed in meanwhile.
--
-- A scope is a snapshot: code reads and assigns the snapshot, and `commit`
-- writes what it changed back into the frame. So code never has a handle on
-- the stack, and may run in a coroutine of its own. A frame is named by its
-- height, the number of frames from it down, which stays the same while
-- other calls come and go above it.

local host = ...

local getinfo, getlocal, setlocal = debug.getinfo, debug.getlocal, debug.setlocal
local getupvalue, setupvalue, getfenv = debug.getupvalue, debug.setupvalue, debug.getfenv
local next, rawequal, rawget, setmetatable = next, rawequal, rawget, setmetatable
local byte, sub = string.byte, string.sub
local G = _G

local PREFIX = host.chunk_prefix or '=[wero]'
-- LuaJIT names what has no name of its own like `(temporary)`.
local UNNAMED = byte('(')

local scope = {}

-- Whether a function is the library's, or not written in Lua at all.
function scope.is_library(info)
  return info.what == 'C' or sub(info.source, 1, #PREFIX) == PREFIX
end

-- The height of the frame at `level`, counted as the caller does.
local function height(level)
  local frames = 0
  while getinfo(level + 1 + frames, 'l') do frames = frames + 1 end
  return frames
end
scope.height = height

local Scope = {}
Scope.__index = Scope

-- Reads the variables anew. Later locals hide earlier ones and upvalues.
function Scope:refresh()
  local level = height(1) - self.height + 1
  local places, values = {}, {}
  local i = 1
  while true do
    local name, value = getupvalue(self.func, i)
    if not name then break end
    if name ~= '' then places[name], values[name] = -i, value end
    i = i + 1
  end
  i = 1
  while true do
    local name, value = getlocal(level, i)
    if not name then break end
    if byte(name) ~= UNNAMED then places[name], values[name] = i, value end
    i = i + 1
  end
  local before = {}
  for name, value in next, values do before[name] = value end
  self.places, self.values, self.before = places, values, before
end

-- Writes back what was assigned since the last refresh.
function Scope:commit()
  local level = height(1) - self.height + 1
  for name, place in next, self.places do
    local value = self.values[name]
    if not rawequal(value, self.before[name]) then
      self.before[name] = value
      if place < 0 then
        setupvalue(self.func, -place, value)
      else
        setlocal(level, place, value)
      end
    end
  end
end

-- An environment for code: variables first, then the globals of the function,
-- then what `more` offers.
function Scope:environment(more)
  local globals = self.globals
  return setmetatable({}, {
    __metatable = false,
    __index = function (_, name)
      if self.places[name] then return self.values[name] end
      if rawget(globals, name) == nil and more[name] ~= nil then return more[name] end
      return globals[name]
    end,
    __newindex = function (_, name, value)
      if self.places[name] then
        self.values[name] = value
      else
        globals[name] = value
      end
    end,
  })
end

-- The scope of the frame at a height, which belongs to `func`.
function scope.of_frame(at, func)
  local self = setmetatable({ height = at, func = func, globals = getfenv(func) }, Scope)
  self:refresh()
  return self
end

local function nothing() end

-- A scope of just these variables, for callers that have none of their own.
function scope.of_values(values)
  local places = {}
  for name in next, values do places[name] = 1 end
  return setmetatable({ places = places, values = values, globals = G,
    refresh = nothing, commit = nothing }, Scope)
end

return scope
