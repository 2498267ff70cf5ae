-- Completion of Lua expressions: names in scope and members of what stands
-- before the last dot or colon.
--
-- Only names, dots and literal indexes are followed; nothing is called,
-- except what objects do themselves when a member is read.

local _, lib = ...

local load, next, pcall, rawget, type = load, next, pcall, rawget, type
local getmetatable, sort = debug.getmetatable, table.sort
local byte, find, sub = string.byte, string.find, string.sub
local classof, members = lib.class.classof, lib.class.members

-- More candidates than fit on a screen help nobody.
local MOST = 200

local UNDERSCORE = byte('_')

local KEYWORDS = { 'and', 'break', 'do', 'else', 'elseif', 'end', 'false', 'for', 'function',
  'if', 'in', 'local', 'nil', 'not', 'or', 'repeat', 'return', 'then', 'true', 'until', 'while' }

-- Where the index that ends in a bracket at `at` begins.
local function index_start(text, at)
  local open = at
  repeat open = open - 1 until open < 1 or sub(text, open, open) == '['
  local inside = sub(text, open + 1, at - 1)
  if open > 0 and (find(inside, '^%d+$') or find(inside, [[^(['"])[^'"\]*%1$]])) then
    return open
  end
end

-- Where the expression that ends at `at` begins, or nil.
local function chain_start(text, at)
  while at > 0 do
    local last = sub(text, at, at)
    if last == ']' then
      at = index_start(text, at)
      if not at then return nil end
      at = at - 1
    elseif find(last, '[%w_]') then
      while at > 0 and find(sub(text, at, at), '[%w_]') do at = at - 1 end
      if not find(sub(text, at, at), '[.:]') then return at + 1 end
      at = at - 1
    else
      return nil
    end
  end
end

local function collect(names, from)
  if type(from) ~= 'table' then return end
  for name in next, from do names[name] = true end
end

local function collect_list(names, list)
  if type(list) ~= 'table' then return end
  for i = 1, #list do names[list[i]] = true end
end

-- The names of a value's members.
local function names_of(value)
  local names = {}
  if type(value) == 'table' then collect(names, value) end
  if classof(value) then
    local methods, getters = members(value)
    collect(names, methods)
    collect(names, getters)
    return names
  end
  local meta = getmetatable(value)
  if type(meta) ~= 'table' then return names end
  local index = rawget(meta, '__index')
  collect(names, rawget(meta, '__methods'))
  collect_list(names, rawget(meta, '__attributes'))
  collect(names, index)
  return names
end

local function candidates(names, word)
  local found = {}
  for name in next, names do
    if type(name) == 'string' and find(name, '^[%a_][%w_]*$') and sub(name, 1, #word) == word
        and (byte(name) ~= UNDERSCORE or byte(word) == UNDERSCORE) then
      found[#found + 1] = name
    end
  end
  sort(found)
  for i = #found, MOST + 1, -1 do found[i] = nil end
  return found
end

-- A function for `host.read_line`: completes in `env`, whose own names are
-- those of the tables that `roots()` lists.
return function (env, roots)
  return function (text)
    local at = #text
    while at > 0 and find(sub(text, at, at), '[%w_]') do at = at - 1 end
    local word, joint = sub(text, at + 1), sub(text, at, at)
    if joint ~= '.' and joint ~= ':' then
      local names = {}
      collect_list(names, KEYWORDS)
      local list = roots()
      for i = 1, #list do collect(names, list[i]) end
      return at, candidates(names, word)
    end
    local from = chain_start(text, at - 1)
    local chunk = from and load('return ' .. sub(text, from, at - 1), '=complete', 't', env)
    if not chunk then return at, {} end
    local ok, value = pcall(chunk)
    if not ok then return at, {} end
    return at, candidates(names_of(value), word)
  end
end
