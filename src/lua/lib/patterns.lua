-- Lua patterns on the engine's step-limited matcher: string.find, match,
-- gmatch and gsub with LuaJIT's results, captures and error texts.
--
-- chunk(host, lib): host.ffi, host.pattern_api, host.pattern_steps.
-- Searching is one bounded FFI call; everything that calls back into rules
-- is a loop here, so that replacements may yield. The match record is shared
-- by all calls: it is read out before any rule code runs.
-- Not here: installing these as `string.*` (sandbox.lua).

local host = ...

local ffi = host.ffi
local api = host.pattern_api
local steps = host.pattern_steps or 1e6

local error, pairs, select, tonumber, tostring, type =
  error, pairs, select, tonumber, tostring, type
local byte, sub, format, find_builtin =
  string.byte, string.sub, string.format, string.find
local concat = table.concat
local getinfo = debug.getinfo
local huge = math.huge

local plain, find_plain, compile, search, message =
  api.plain, api.find, api.compile, api.search, api.message
local new_pattern = ffi.typeof('wero_pattern')
local found = ffi.new('wero_pattern_match')

-- Patterns compiled so far, in memory of Lua's. Rules that make patterns up
-- as they go would fill the tables, so each starts afresh when it is full.
local CACHED = 512
local function cache(make)
  local known, count = {}, 0
  return known, function (pattern)
    local value = make(pattern)
    if count >= CACHED then
      for key in pairs(known) do known[key] = nil end
      count = 0
    end
    known[pattern], count = value, count + 1
    return value
  end
end

local function compiled(pattern, anchors)
  local count = compile(pattern, #pattern, anchors, nil, 0)
  if count < 0 then error('pattern too complex', 0) end
  local program = new_pattern(count)
  program.count = count
  compile(pattern, #pattern, anchors, program.words, count)
  return program
end

-- programs: as match and gsub read a pattern; searches: as find does, false
-- for literal text; loose: as gmatch does, where ^ is an ordinary character.
local programs, add_program = cache(function (pattern)
  return compiled(pattern, 1)
end)
local searches, add_search = cache(function (pattern)
  if plain(pattern, #pattern) == 1 then return false end
  return programs[pattern] or add_program(pattern)
end)
local loose, add_loose = cache(function (pattern)
  return compiled(pattern, 0)
end)

-- Errors are raised at the place that called the public function, which is
-- two levels above its helper. None of these may be called as a tail call.

local function fail(code)
  local text = ffi.string(message(code))
  if code == -1 then text = format('%s: gave up after %.0f steps', text, steps) end
  error(text, 3)
end

local function unfinished()
  error('unfinished capture', 3)
end

-- Words a bad argument as LuaJIT does, which names the function after the
-- expression that called it and does not count self. `level` is the public
-- function's, seen from here.
local function bad_argument(index, text, level)
  local called = getinfo(level, 'n')
  local name = called.name or '?'
  if called.namewhat == 'method' then
    index = index - 1
    if index == 0 then
      error(format("calling '%s' on bad self (%s)", name, text), level + 1)
    end
  end
  error(format("bad argument #%d to '%s' (%s)", index, name, text), level + 1)
end

local function to_string(value, index)
  if type(value) == 'number' then return tostring(value) end
  bad_argument(index, 'string expected, got ' .. type(value), 3)
end

local function to_integer(value, index, level)
  local number = value
  if type(value) == 'string' then number = tonumber(value) end
  if type(number) ~= 'number' then
    bad_argument(index, 'number expected, got ' .. type(value), level)
  end
  -- Out of its range LuaJIT answers differently on every machine; here such
  -- numbers, and not-a-number, count as the nearest one that works.
  if number ~= number then return 0 end
  if number >= 2147483647 then return 2147483647 end
  if number <= -2147483648 then return -2147483648 end
  return number - number % (number < 0 and -1 or 1)
end

-- Byte offset where a search starts, from its third argument.
local function offset(init, length)
  if init == nil then return 0 end
  init = to_integer(init, 3, 4)
  if init > 0 then return init - 1 end
  if init == 0 then return 0 end
  init = init + length
  return init < 0 and 0 or init
end

local function capture(subject, index)
  local slot = found.capture[index]
  local stop = slot.stop
  if stop >= 0 then return sub(subject, slot.start + 1, stop) end
  return slot.start + 1
end

local function captures_from(subject, index, level)
  if index + 1 >= level then return capture(subject, index) end
  return capture(subject, index), captures_from(subject, index + 1, level)
end

-- All captures of the last match, or all of it when there are none.
local function captures(subject)
  local level = found.level
  if level == 0 then return sub(subject, found.start + 1, found.stop) end
  if level == 1 then return capture(subject, 0) end
  if level == 2 then return capture(subject, 0), capture(subject, 1) end
  return captures_from(subject, 0, level)
end

-- Below this the built-in literal search is faster than a call; it compares
-- byte by byte, so long texts could make it quadratic.
local SHORT = 256

local function find(subject, pattern, init, literal)
  if type(subject) ~= 'string' then subject = to_string(subject, 1) end
  if type(pattern) ~= 'string' then pattern = to_string(pattern, 2) end
  local from = 0
  if init ~= nil then
    from = offset(init, #subject)
    if from > #subject then return nil end
  end
  local program = false
  if not literal then
    program = searches[pattern]
    if program == nil then program = add_search(pattern) end
  end
  if program then
    local answer = search(program, subject, #subject, from, steps, found)
    if answer == 0 then return nil end
    if answer < 0 then fail(answer) end
    local first, last = found.start + 1, found.stop
    if found.level == 0 then return first, last end
    if found.open > 0 then unfinished() end
    return first, last, captures(subject)
  end
  if #subject < SHORT then return find_builtin(subject, pattern, from + 1, true) end
  local first = find_plain(subject, #subject, pattern, #pattern, from)
  if first < 0 then return nil end
  return first + 1, first + #pattern
end

local function match(subject, pattern, init)
  if type(subject) ~= 'string' then subject = to_string(subject, 1) end
  if type(pattern) ~= 'string' then pattern = to_string(pattern, 2) end
  local from = 0
  if init ~= nil then
    from = offset(init, #subject)
    if from > #subject then return nil end
  end
  local program = programs[pattern] or add_program(pattern)
  local answer = search(program, subject, #subject, from, steps, found)
  if answer == 0 then return nil end
  if answer < 0 then fail(answer) end
  if found.open > 0 then unfinished() end
  return captures(subject)
end

local function gmatch(subject, pattern)
  if type(subject) ~= 'string' then subject = to_string(subject, 1) end
  if type(pattern) ~= 'string' then pattern = to_string(pattern, 2) end
  local program = loose[pattern] or add_loose(pattern)
  local from = 0
  return function ()
    if from > #subject then return end
    local answer = search(program, subject, #subject, from, steps, found)
    if answer == 0 then return end
    if answer < 0 then fail(answer) end
    -- An empty match moves on by a byte, or it would be found for ever.
    from = found.stop + (found.stop == found.start and 1 or 0)
    if found.open > 0 then unfinished() end
    return captures(subject)
  end
end

-- Takes a replacement string apart: an array of literal strings and capture
-- numbers (0 for the whole match), nil when it is all literal.
local function template(text)
  local at = find_builtin(text, '%', 1, true)
  if not at then return nil end
  local parts, from = {}, 1
  while at do
    if at > from then parts[#parts + 1] = sub(text, from, at - 1) end
    local code = byte(text, at + 1)
    if not code then
      parts[#parts + 1] = '\0' -- LuaJIT copies the end mark of the string.
    elseif code >= 48 and code <= 57 then
      parts[#parts + 1] = code - 48
    else
      parts[#parts + 1] = sub(text, at + 1, at + 1)
    end
    from = at + 2
    at = find_builtin(text, '%', from, true)
  end
  parts[#parts + 1] = sub(text, from)
  return parts
end

-- Appends a taken-apart replacement to the pieces of the result.
local function expand(parts, subject, pieces, count)
  for k = 1, #parts do
    local part = parts[k]
    if type(part) == 'number' then
      if part == 0 or part == 1 and found.level == 0 then
        part = sub(subject, found.start + 1, found.stop)
      elseif part > found.level then
        error('invalid capture index', 3)
      elseif found.capture[part - 1].stop == -1 then
        error('unfinished capture', 3)
      else
        part = capture(subject, part - 1)
      end
    end
    count = count + 1
    pieces[count] = part
  end
  return count
end

local function gsub(subject, pattern, replacement, limit)
  if type(subject) ~= 'string' then subject = to_string(subject, 1) end
  if type(pattern) ~= 'string' then pattern = to_string(pattern, 2) end
  limit = limit == nil and huge or to_integer(limit, 4, 3)
  local kind = type(replacement)
  if kind == 'number' then
    replacement, kind = tostring(replacement), 'string'
  elseif kind ~= 'string' and kind ~= 'table' and kind ~= 'function' then
    bad_argument(3, 'string/function/table expected', 2)
  end

  local program = programs[pattern] or add_program(pattern)
  local anchored = byte(pattern, 1) == 94
  local parts = kind == 'string' and template(replacement)
  -- copied: how much of the subject is in the pieces; from: where to search.
  -- Room for a few pieces at once, since most subjects need no more.
  local pieces, count, copied, from, replaced = { '', '', '', '' }, 0, 0, 0, 0
  while replaced < limit and from <= #subject do
    local answer = search(program, subject, #subject, from, steps, found)
    if answer == 0 then break end
    if answer < 0 then fail(answer) end
    replaced = replaced + 1
    local start, stop = found.start, found.stop
    if start > copied then
      count = count + 1
      pieces[count] = sub(subject, copied + 1, start)
    end
    copied = stop
    from = stop == start and stop + 1 or stop
    if parts then
      count = expand(parts, subject, pieces, count)
    else
      local value = replacement
      if kind == 'table' then
        if found.level > 0 and found.capture[0].stop == -1 then unfinished() end
        value = replacement[found.level == 0 and sub(subject, start + 1, stop)
          or capture(subject, 0)]
      elseif kind == 'function' then
        if found.open > 0 then unfinished() end
        value = replacement(captures(subject))
      end
      if not value then
        value = sub(subject, start + 1, stop)
      elseif type(value) ~= 'string' and type(value) ~= 'number' then
        error(format('invalid replacement value (a %s)', type(value)), 2)
      end
      count = count + 1
      pieces[count] = value
    end
    if anchored then break end
  end
  if replaced == 0 then return subject, 0 end
  if copied < #subject then
    count = count + 1
    pieces[count] = sub(subject, copied + 1)
  end
  return concat(pieces, '', 1, count), replaced
end

return { find = find, match = match, gmatch = gmatch, gsub = gsub }
