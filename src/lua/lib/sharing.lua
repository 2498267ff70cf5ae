-- Whether rules can meet one object in two events.
--
-- Rules may use an object as a key, or keep it, and look for it in a later
-- event: a packet that several events show is one object, found again by its
-- slot. Where its listeners only read its fields, or a single event shows it,
-- nobody can tell, and it is made anew: the JIT compiler then leaves the
-- object out, and the collector has nothing to do. What a rule stores in an
-- object is found in either case, since the object is kept from then on.
--
-- An event says what it shows as rows: `place`, the listeners' argument;
-- `key`, the kind of object; `leads`, the keys of all that it gives away; the
-- constructors `kept` and, where there is one, `fresh`; `once`, where the
-- event shows an object once; `safe`, a set of the fields that lead nowhere. A
-- row without constructors only tells what is shown.

local _, lib = ...

local ipairs, pairs, setmetatable, unpack = ipairs, pairs, setmetatable, unpack
local escapes = lib.escape.escapes

local sharing = {}

-- By key: how many events give it away. By event: the keys counted for it, and
-- the rows that its listeners may keep.
local counts, shown, taken = {}, {}, {}
-- By function and row, what was found out of it.
local found = setmetatable({}, { __mode = 'k' })
-- Objects are seen on other ways as well: by a profiler, by rules' policies.
local mixed = lib.watch ~= false
-- Makes the events' functions again, with other constructors.
local rebuild = function () end

local NOTHING = {}

local function takes(fn, row)
  local known = found[fn]
  if not known then
    known = {}
    found[fn] = known
  end
  if known[row] == nil then known[row] = escapes(fn, row.place, row.safe or NOTHING) end
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

local function count(keys, by)
  for key in pairs(keys) do counts[key] = (counts[key] or 0) + by end
end

local function same(left, right)
  for key, value in pairs(left) do
    if right[key] ~= value then return false end
  end
  for key in pairs(right) do
    if left[key] == nil then return false end
  end
  return true
end

function sharing.on_change(fn)
  rebuild = fn
end

-- Counts anew what the event `kind` shows to its listeners; `always`, that it
-- shows all of it whoever listens.
function sharing.update(kind, rows, listeners, always)
  local keys, places = {}, {}
  for _, row in ipairs(rows) do
    places[row] = always or is_taken(row, listeners)
    if places[row] then
      for _, key in ipairs(row.leads or { row.key }) do keys[key] = true end
    end
  end
  local before, were_taken = shown[kind] or {}, taken[kind] or {}
  shown[kind], taken[kind] = keys, places
  if same(before, keys) and same(places, were_taken) then return end
  count(before, -1)
  count(keys, 1)
  rebuild()
end

-- Objects are met elsewhere than in events from now on.
function sharing.mix()
  if mixed then return end
  mixed = true
  rebuild()
end

local function may_be_fresh(kind, row)
  if not row.fresh or mixed then return false end
  return not taken[kind][row] or row.once and (counts[row.key] or 0) <= 1
end

-- The constructors for the rows of an event, in their order. `again` for a
-- delivery that goes on: what the first part stored has to be found.
function sharing.constructors(kind, rows, again)
  local list = {}
  for _, row in ipairs(rows) do
    list[#list + 1] = not again and may_be_fresh(kind, row) and row.fresh or row.kept
  end
  return unpack(list)
end

return sharing
