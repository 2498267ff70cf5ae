-- `pairs` and `table.foreach` for rules, in an order that does not change
-- from run to run: numbers ascending, then strings by their bytes, then the
-- rest.
--
-- LuaJIT goes by a string's serial number, which follows what was collected
-- before, and that follows what was compiled. Tables that are plain lists
-- cost nothing more; those of over MOST keys come in LuaJIT's own order, as
-- do keys that are tables or functions. Keys are those present at the start;
-- one that is removed on the way is left out.

local getmetatable, next, pairs, rawget, rawlen, type =
  getmetatable, next, pairs, rawget, rawlen, type
local sort = table.sort

-- Sorting cannot be interrupted: this many take about a millisecond.
local MOST = 4096

local ordered = {}

local function collect(t)
  local numbers, strings, others = {}, {}, {}
  local n = 0
  for key in next, t do
    n = n + 1
    if n > MOST then return nil end
    local kind = type(key)
    local list = kind == 'string' and strings or kind == 'number' and numbers or others
    list[#list + 1] = key
  end
  return numbers, strings, others
end

local function follow(walk)
  local at = walk.at + 1
  local key = walk.keys[at]
  while key ~= nil and rawget(walk.of, key) == nil do
    at = at + 1
    key = walk.keys[at]
  end
  walk.at = at
  if key ~= nil then return key, rawget(walk.of, key) end
end

local function has_own_order(t)
  if type(t) ~= 'table' then return true end
  local meta = getmetatable(t)
  return meta ~= nil and (type(meta) ~= 'table' or rawget(meta, '__pairs') ~= nil)
end

function ordered.pairs(t)
  if has_own_order(t) then return pairs(t) end
  local length = rawlen(t)
  -- A list, or nothing at all.
  if next(t, length > 0 and length or nil) == nil then return next, t, nil end
  local keys, strings, others = collect(t)
  if not keys then return next, t, nil end
  sort(keys)
  sort(strings)
  for i = 1, #strings do keys[#keys + 1] = strings[i] end
  for i = 1, #others do keys[#keys + 1] = others[i] end
  return follow, { keys = keys, of = t, at = 0 }, nil
end

function ordered.foreach(t, fn)
  for key, value in ordered.pairs(t) do
    local result = fn(key, value)
    if result ~= nil then return result end
  end
end

return ordered
