-- Internet checksums over buffers, for rules (RFC 1071).

local setmetatable, getmetatable, error, floor, byte =
  setmetatable, getmetatable, error, math.floor, string.byte

local methods = {}
local Checksum = { __index = methods, __name = 'inet_checksum', __metatable = false }

local function fold(sum)
  while sum > 65535 do sum = sum % 65536 + floor(sum / 65536) end
  return sum
end

-- Sum of a string's 16-bit words; a last odd byte counts as a first half.
local function sum_of(text)
  local sum, last = 0, #text
  for i = 1, last - 1, 2 do
    local high, low = byte(text, i, i + 1)
    sum = sum + high * 256 + low
  end
  if last % 2 == 1 then sum = sum + byte(text, last) * 256 end
  return fold(sum)
end

-- Adds the bytes of a buffer or a part of one. A part of odd length ends in
-- the middle of a word, which the next one goes on with.
function methods.process(self, data)
  local kind = getmetatable(data)
  if kind == 'vbuffer' then
    data = data:sub()
  elseif kind ~= 'vbuffer_sub' then
    error("Error in process (arg 2), expected 'vbuffer'", 2)
  end
  local text = data:asstring()
  local sum = sum_of(text)
  -- What starts at an odd byte counts with the halves exchanged.
  if self._odd then sum = sum % 256 * 256 + floor(sum / 256) end
  self._sum = fold(self._sum + sum)
  if #text % 2 == 1 then self._odd = not self._odd end
end

function methods.reduce(self)
  return 65535 - fold(self._sum)
end

local checksum = {}

function checksum.new()
  return setmetatable({ _sum = 0, _odd = false }, Checksum)
end

function checksum.compute(data)
  local sum = checksum.new()
  sum:process(data)
  return sum:reduce()
end

return checksum
