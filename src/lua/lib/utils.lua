-- Helpers added to `string` and `table`, and the globals sorted_pairs and topointer.

local pairs, tostring = pairs, tostring
local select, byte, format, gsub = select, string.byte, string.format, string.gsub
local sort, insert = table.sort, table.insert

local utils = {}

local function by_text(a, b)
  return tostring(a) < tostring(b)
end

-- Iterates in key order, by default the order of the keys' texts: 10 comes
-- before 9. The pairs are those present when the iteration starts.
function utils.sorted_pairs(t, less)
  local keys, values = {}, {}
  for key, value in pairs(t) do
    keys[#keys + 1] = key
    values[key] = value
  end
  sort(keys, less or by_text)
  local i = 0
  return function ()
    i = i + 1
    local key = keys[i]
    if key ~= nil then return key, values[key] end
  end
end

local function hexadecimal(c)
  return format('\\x%02x', byte(c))
end

-- Printable ASCII stays, any other byte becomes \xhh.
function utils.safe_format(text, keep_newline)
  return (gsub(text, keep_newline and '[^\32-\126\n]' or '[^\32-\126]', hexadecimal))
end

function utils.merge(dst, src)
  for key, value in pairs(src) do dst[key] = value end
end

function utils.append(dst, src)
  for i = 1, #src do insert(dst, src[i]) end
end

function utils.copy(t)
  local copy = {}
  for key, value in pairs(t) do copy[key] = value end
  return copy
end

function utils.dict(t)
  local dict = {}
  for _, value in pairs(t) do dict[value] = true end
  return dict
end

function utils.invert(t)
  local inverse = {}
  for key, value in pairs(t) do inverse[value] = key end
  return inverse
end

function utils.contains(t, key)
  return t[key] ~= nil
end

function utils.pack(...)
  return { n = select('#', ...), ... }
end

-- A text that identifies a table, function, userdata or coroutine.
function utils.topointer(value)
  return format('%p', value)
end

for _, name in pairs{ 'merge', 'append', 'copy', 'dict', 'invert', 'contains' } do
  table[name] = utils[name]
end
table.pack = table.pack or utils.pack
string.safe_format = utils.safe_format
sorted_pairs = utils.sorted_pairs
topointer = utils.topointer

return utils
