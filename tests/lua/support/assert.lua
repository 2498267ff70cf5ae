-- Assertions for the tests in Lua.

local test = {}

local function text(value)
  if type(value) ~= 'table' or getmetatable(value) then return tostring(value) end
  local parts = {}
  for _, key in ipairs((function ()
    local keys = {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys, function (a, b) return tostring(a) < tostring(b) end)
    return keys
  end)()) do
    parts[#parts + 1] = tostring(key) .. ' = ' .. text(value[key])
  end
  return '{' .. table.concat(parts, ', ') .. '}'
end

function test.equal(found, expected)
  if found ~= expected then
    error(string.format('expected %s, found %s', tostring(expected), tostring(found)), 2)
  end
end

-- Compares by content.
function test.same(found, expected)
  if text(found) ~= text(expected) then
    error(string.format('expected %s, found %s', text(expected), text(found)), 2)
  end
end

-- The message is the text, wherever it was raised.
function test.raises(message, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error(string.format("expected the error '%s', nothing was raised", message), 2) end
  local found = tostring(err):gsub('^[^:\n]+%.lua:%d+: ', '')
  if found ~= message then
    error(string.format("expected the error '%s', found '%s'", message, tostring(err)), 2)
  end
end

-- The same, and raised in the file of the test: at the rule, that is.
function test.raises_here(message, fn)
  local file = debug.getinfo(fn, 'S').short_src
  local ok, err = pcall(fn)
  if ok then error(string.format("expected the error '%s', nothing was raised", message), 2) end
  local place, found = tostring(err):match('^(.-):%d+: (.*)$')
  if place ~= file or found ~= message then
    error(string.format("expected the error '%s' in %s, found '%s'", message, file, tostring(err)), 2)
  end
end

-- The error has exactly this text, without a place in front.
function test.raises_bare(message, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok or err ~= message then
    error(string.format("expected the bare error '%s', found '%s'", message, tostring(err)), 2)
  end
end

return test
