-- Which objects of an event are found again in other events.
--
-- Rules may use an object as a key, or keep it, and look for it in a later
-- event: a packet or flow is one object, found again by its slot. Where the
-- listeners of an event only read its fields (`escape`), nobody can tell, and
-- it is made anew: the JIT compiler then leaves the object out, and the
-- collector has nothing to do.
--
-- An event says what it shows as rows: `place`, the listeners' argument; the
-- constructors `kept` and `fresh`; `safe`, a set of the names of fields and
-- methods that let nothing of the object go.

local _, lib = ...

local escapes = lib.escape.escapes
local ipairs, setmetatable, unpack = ipairs, setmetatable, unpack

local sharing = {}

-- By event: the rows that its listeners may keep.
local taken = {}
-- By function and row, what was found out of it.
local found = setmetatable({}, { __mode = 'k' })
-- Objects are met on other ways as well: by a profiler, by policies of rules,
-- by dissectors in Lua.
local mixed = lib.watch ~= false
-- Makes the events' functions again, with other constructors.
local rebuild = function () end

local function takes(fn, row)
  local known = found[fn]
  if not known then
    known = {}
    found[fn] = known
  end
  if known[row] == nil then known[row] = escapes(fn, row.place, row.safe) end
  return known[row]
end

local function is_taken(row, listeners)
  for _, listener in ipairs(listeners) do
    local options = listener.options
    -- The coroutine of a streamed listener is found by what it is given.
    if options and options.streamed or takes(listener.fn, row) then return true end
  end
  return false
end

function sharing.on_change(fn)
  rebuild = fn
end

-- Looks anew at who listens to the event `kind`; `always`, that all it shows
-- may be kept whoever listens.
function sharing.update(kind, rows, listeners, always)
  taken[kind] = {}
  for _, row in ipairs(rows) do
    taken[kind][row] = always or is_taken(row, listeners)
  end
end

-- All objects are kept from now on.
function sharing.mix()
  if mixed then return end
  mixed = true
  rebuild()
end

-- The constructors for the rows of an event, in their order. `again` for a
-- delivery that goes on: what the first part stored has to be found.
function sharing.constructors(kind, rows, again)
  local list = {}
  for _, row in ipairs(rows) do
    local keeps = again or mixed or taken[kind][row]
    list[#list + 1] = keeps and row.kept or row.fresh
  end
  return unpack(list)
end

return sharing
