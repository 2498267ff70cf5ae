-- Argument checks: errors that point at the caller of the checking function.
--
-- Level 1 is the function here, 2 the one that checks, 3 its caller. A
-- function that checks must not be left by a tail call into this module.

local type, error, concat = type, error, table.concat
local format = string.format

local check = {}

function check.error(message, level)
  error(message, (level or 0) + 3)
end

function check.assert(condition, message, level)
  if not condition then error(message, (level or 0) + 3) end
end

function check.type(n, value, expected, level)
  if type(value) ~= expected then
    error(format('invalid parameter %s, expected %s', n, expected), (level or 0) + 3)
  end
end

function check.types(n, value, expected, level)
  local found = type(value)
  for i = 1, #expected do
    if found == expected[i] then return end
  end
  error(format('invalid parameter %s, expected %s', n, concat(expected, ' or ')), (level or 0) + 3)
end

return check
