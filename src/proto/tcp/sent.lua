-- What has left of a stream that a rule puts together: where its bytes went,
-- and the bytes themselves until their receiver has them, so that a segment
-- that comes again leaves with the same ones.
--
-- Offsets count from the first byte: old ones as the sender numbers them, new
-- ones as the receiver does. Chunks are the segments that left, the oldest
-- first: `at` and `len` in old offsets, `new` where their `bytes` begin.

local host, lib = ...

local log = lib.log.of('tcp')
local pairs, setmetatable = pairs, setmetatable
local insert, concat, max, min, sub = table.insert, table.concat, math.max, math.min, string.sub

-- Bytes that one stream remembers, and all of a Lua state; what a chunk costs.
local MOST, MOST_OF_ALL, CHUNK = 2 ^ 20, 2 ^ 24, 64

local sent = {}

-- All that there are, and at least what they remember.
local all, total = setmetatable({}, { __mode = 'k' }), 0

function sent.new()
  local self = { first = 1, last = 0, old_end = 0, new_end = 0, acked_old = 0, acked_new = 0,
    shift = 0, size = 0, edited = false }
  all[self] = true
  return self
end

local function forget(self)
  local chunk = self[self.first]
  self[self.first], self.first = nil, self.first + 1
  self.size = self.size - CHUNK - #chunk.bytes
  self.shift = chunk.new + #chunk.bytes - chunk.at - chunk.len
end

local function shrink(self, most)
  while self.size > most do forget(self) end
end

-- Streams may be gone without a word, so that what is left is counted anew.
local function make_room()
  total = 0
  for stream in pairs(all) do total = total + stream.size end
  if total <= MOST_OF_ALL / 2 then return end
  log.warning('streams of rules have too many bytes under way: half of them are forgotten')
  total = 0
  for stream in pairs(all) do
    shrink(stream, stream.size / 2)
    total = total + stream.size
  end
end

-- The next `len` bytes and, if `fin` is 1, the FIN behind them have left as
-- `bytes`.
function sent.add(self, len, fin, bytes)
  local at, new = self.old_end, self.new_end
  self.old_end, self.new_end = at + len + fin, new + #bytes + fin
  if len == 0 and bytes == '' then return end
  self.edited = self.edited or len ~= #bytes
  self.last = self.last + 1
  self[self.last] = { at = at, len = len, new = new, bytes = bytes }
  self.size, total = self.size + CHUNK + #bytes, total + CHUNK + #bytes
  shrink(self, MOST)
  if total > MOST_OF_ALL then make_room() end
end

-- As many bytes have left, not all of which are known.
function sent.skip(self, len, fin)
  self.old_end, self.new_end = self.old_end + len + fin, self.new_end + len + fin
end

function sent.to_new(self, at)
  if at < 0 then return at end
  for i = self.last, self.first, -1 do
    local chunk = self[i]
    if at >= chunk.at + chunk.len then
      return at + chunk.new + #chunk.bytes - chunk.at - chunk.len
    end
    if at >= chunk.at then
      if chunk.len == #chunk.bytes then return chunk.new + at - chunk.at end
      return chunk.new + min(at - chunk.at, max(#chunk.bytes - 1, 0))
    end
  end
  return at + self.shift
end

-- Inside of edited bytes never all of theirs: the sender repeats them then,
-- and the new ones leave again.
function sent.to_old(self, new)
  if new >= self.new_end then return new - self.new_end + self.old_end end
  for i = self.last, self.first, -1 do
    local chunk = self[i]
    if new >= chunk.new + #chunk.bytes then
      return new - chunk.new - #chunk.bytes + chunk.at + chunk.len
    end
    if new >= chunk.new then
      if chunk.len == #chunk.bytes then return chunk.at + new - chunk.new end
      return chunk.at + max(min(new - chunk.new, chunk.len - 1), 0)
    end
  end
  return new - self.shift
end

-- The receiver has all before a new offset. Nobody has what never left.
function sent.acknowledge(self, new)
  if new > self.new_end or new <= self.acked_new then return end
  self.acked_new, self.acked_old = new, sent.to_old(self, new)
  local oldest = self[self.first]
  while oldest and oldest.new + #oldest.bytes <= new do
    forget(self)
    oldest = self[self.first]
  end
end

-- What left in the place of old bytes, to the end of each edited chunk, and
-- where it begins; nil if they are not remembered. What the receiver has of
-- them need not leave again.
function sent.bytes(self, at, stop)
  local oldest = self[self.first]
  if oldest and at < oldest.at and oldest.at <= self.acked_old then at = oldest.at end
  if not oldest or at < oldest.at or at >= stop then return nil end
  local from, parts = sent.to_new(self, at), {}
  for i = self.first, self.last do
    local chunk = self[i]
    if chunk.at < stop and chunk.at + chunk.len > at then
      local first = max(from - chunk.new, 0)
      local edited = chunk.len ~= #chunk.bytes
      insert(parts, sub(chunk.bytes, first + 1, edited and #chunk.bytes or stop - chunk.at))
    end
  end
  return concat(parts), from
end

return sent
