-- Watching rules at work, for those who explain or profile them.
--
-- Only a state that was made for it has `host.watch`: dispatcher, rules,
-- policies and objects then run other code from the beginning. In all other
-- states this module is false and none of that is there.
--
-- A span is what takes a while: an event, a listener, the actions of a
-- policy. It is announced once, and each run of it stands between `begin` and
-- `done`. What an error leaves open is ended with the span around it.

local host, lib = ...

local given = host.watch
if not given then return false end

local announce, read = given.span, given.read
local type, tostring, load, byte, sub = type, tostring, load, string.byte, string.sub
local require = require

local UNDERSCORE = byte('_')
-- Reads that are told of one span; a loop over bytes says no more by being
-- told whole.
local MAX_READS = 64

local watch = { begin = given.begin, done = given.done }

if given.api then
  local ffi = host.ffi
  local api = ffi.cast('const wero_span_api *', given.api)
  local self = ffi.cast('void *', given.self)
  local begin, done = api.begin, api.done
  function watch.begin(id)
    local token = begin(self, id)
    return token
  end
  function watch.done(token)
    done(self, token)
  end
end

-- What the JIT compiler gives up on: rows by reason and place.
local MAX_ABORTS = 1000

if given.api then
  local funcinfo = require('jit.util').funcinfo
  local rows, known = {}, {}
  watch.aborts = rows

  require('jit').attach(function (what, _, func, pc, code, detail)
    if what ~= 'abort' or type(code) ~= 'number' then return end
    local info = funcinfo(func, pc)
    local location = info.loc or '[C]'
    if type(detail) == 'function' then
      local called = funcinfo(detail)
      detail = called.loc or called.ffid and 'built-in function ' .. called.ffid or nil
    end
    local key = location .. ':' .. code .. ':' .. tostring(detail)
    local row = known[key]
    if not row then
      if #rows >= MAX_ABORTS then return end
      row = { location = location, code = code, count = 0,
        detail = detail ~= nil and tostring(detail) or nil }
      known[key], rows[#rows + 1] = row, row
    end
    row.count = row.count + 1
  end, 'trace')
end

local reads = 0

if read then
  local begin = watch.begin
  function watch.begin(id, subject)
    reads = 0
    return begin(id, subject)
  end
end

-- `l` has the listener's record.
function watch.listener(listener, place)
  local span = listener.span
  if not span then
    span = announce('rule', listener.name, listener.location, place or 0)
    listener.span = span
  end
  return span
end

local signals = {}

function watch.signal(event)
  local span = signals[event]
  if not span then
    span = announce('signal', event.name)
    signals[event] = span
  end
  return span
end

function watch.policy(policy, entry)
  local span = entry.span
  if not span then
    span = announce('policy', policy.name, entry.location, 0, entry.name)
    entry.span = span
  end
  return span
end

-- A member of a rule group, whose result decides whether the next one runs.
function watch.member(eval, location)
  local span = announce('member', nil, location)
  return function (...)
    local token = watch.begin(span, -1)
    local result = eval(...)
    if result == nil or not read then
      watch.done(token)
    else
      watch.done(token, tostring(result))
    end
    return result
  end
end

-- The delivery of an event; one function for each, as the dispatcher's are.
local AROUND = [[
local begin, done, span, body = ...
return function (slot)
  local token = begin(span, slot)
  body(slot)
  done(token)
end
]]

function watch.event(kind, body)
  return load(AROUND, '=[wero]/dispatch', 't')(watch.begin, watch.done, announce('event', nil, nil, kind), body)
end

if not read then return watch end

-- Fields ----------------------------------------------------------------------

local function tell(object, field, value)
  if reads >= MAX_READS then return end
  local what = type(value)
  if what == 'table' or what == 'cdata' then
    if not lib.address.is(value) and not lib.time.is(value) then return end
    reads = reads + 1
    read(object, field, tostring(value), false)
  elseif what == 'number' or what == 'boolean' or what == 'nil' then
    reads = reads + 1
    read(object, field, tostring(value), false)
  elseif what == 'string' then
    reads = reads + 1
    read(object, field, sub(value, 1, 64), true)
  end
end

-- The accessor `index` of objects of that name, which tells what it gives.
function watch.index(name, index)
  return function (o, key)
    local value = index(o, key)
    if type(key) == 'string' and key ~= 'name' and byte(key) ~= UNDERSCORE then
      tell(name, key, value)
    end
    return value
  end
end

-- Methods of buffers that give their bytes.
function watch.methods(name, methods, list)
  for i = 1, #list do
    local key = list[i]
    local method = methods[key]
    methods[key] = function (...)
      local value = method(...)
      tell(name, key .. '()', value)
      return value
    end
  end
end

return watch
