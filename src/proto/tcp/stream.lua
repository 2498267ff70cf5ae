-- TCP streams that rules put together themselves, one direction each, out of
-- packets that they keep: `require('protocol/tcp').tcp_stream()`.
--
-- The rule gives every segment of a direction to `push`, reads and edits what
-- is in `stream`, and sends what `pop` gives. Offsets count bytes behind the
-- number that `init` was given, and a FIN as one: `_next` is the first that was not pushed in
-- order, `_out` the first that was not popped, `_new` the same in what the
-- receiver counts. What was popped is remembered until the receiver has it
-- (`ack` tells), so that a segment that comes again leaves with the same bytes.

local host, lib = ...

local ops, E, api, store = host.ops, host.engine, host.buf_api, host.store
local out, check_buffer = lib.bufobject.out, lib.bufobject.check
local check = lib.native.check
local vbuffer_stream, vbuffer_from = lib.stream.vbuffer_stream, lib.vbuffer.vbuffer_from
local log = lib.log.of('tcp')
local error, getmetatable, setmetatable, rawget, tostring, type =
  error, getmetatable, setmetatable, rawget, tostring, type
local concat, insert, remove, min, max = table.concat, table.insert, table.remove, math.min, math.max
local format, sub = string.format, string.sub

local P, MASK = host.packets, host.packet_mask
local TRANSPORT = lib.native.TRANSPORT
local band = bit.band

local OK = 0
-- The fixed part of the header; options.
local HEADER, END, NOP, SACK = 20, 0, 1, 5
local NUMBERS = 2 ^ 32
-- Segments that may wait behind a hole.
local MOST_QUEUED = 1024
-- Bytes that are remembered of what was popped, and what a chunk costs.
local MOST_REMEMBERED, CHUNK = 2 ^ 20, 64

local methods, getters = {}, {}

-- Lists that are filled at one end and emptied at the other.

local function list() return { first = 1, last = 0 } end

local function append(to, value)
  to.last = to.last + 1
  to[to.last] = value
end

local function take(from)
  local value = from[from.first]
  if value == nil then return nil end
  from[from.first] = nil
  from.first = from.first + 1
  return value
end

-- Packets ------------------------------------------------------------------------

local function segment(pkt, name)
  local meta = type(pkt) == 'table' and getmetatable(pkt)
  if type(meta) ~= 'table' or rawget(meta, '__name') ~= 'tcp' then
    error(format("Error in %s (arg 1), expected 'tcp' got '%s'", name, type(pkt)), 3)
  end
end

local function keep(pkt)
  check(ops.packet_keep(E, pkt[0], pkt[1]), 'tcp packet')
  lib.native.stopped(pkt)
end

-- Whether a kept packet is still there, to be sent.
local function returned(pkt)
  return ops.packet_return(E, pkt[0], pkt[1]) == OK
end

local function drop(pkt)
  if returned(pkt) then pkt:drop() end
end

local function write_seq(self, pkt, offset)
  local seq = (self._start + offset) % NUMBERS
  if seq ~= pkt.seq then pkt.seq = seq end
end

-- Blocks of SACK count as the receiver does, which the sender would take for
-- other bytes.
local function remove_blocks(pkt)
  local at, stop, r = HEADER, pkt.hdr_len, P[band(pkt[0], MASK)]
  local d = r.data + r.transport_at
  if r.transport_at + stop > r.len then return end
  while at + 1 < stop and d[at] ~= END do
    local kind, len = d[at], d[at] == NOP and 1 or d[at + 1]
    if len == 0 or at + len > stop then return end
    for i = at, at + (kind == SACK and len or 0) - 1 do
      check(ops.write(E, pkt[0], pkt[1], TRANSPORT, i, 1, 0xff, NOP), 'tcp packet')
    end
    at = at + len
  end
end

-- The offset of a number: the one nearest to another offset.
local function offset_of(self, number, near)
  if not self._start then error('the stream has no first sequence number: call init', 3) end
  local ahead = (number - self._start - near) % NUMBERS
  if ahead >= NUMBERS / 2 then ahead = ahead - NUMBERS end
  return near + ahead
end

-- What was popped ----------------------------------------------------------------

-- Chunks, the oldest first: `at` and `len` as they came, `new` and `bytes` as
-- they left.

local function forget(self)
  local chunk = take(self._sent)
  self._remembered = self._remembered - CHUNK - #chunk.bytes
  self._past = chunk.new + #chunk.bytes - chunk.at - chunk.len
end

local function remember(self, len, fin, bytes)
  local at, new = self._out, self._new
  self._out, self._new = at + len + fin, new + #bytes + fin
  if len == 0 and bytes == '' then return end
  self._edited = self._edited or len ~= #bytes
  append(self._sent, { at = at, len = len, new = new, bytes = bytes })
  self._remembered = self._remembered + CHUNK + #bytes
  while self._remembered > MOST_REMEMBERED do forget(self) end
end

-- The receiver's offset of one of the sender's.
local function to_new(self, at)
  if at < 0 then return at end
  local sent = self._sent
  for i = sent.last, sent.first, -1 do
    local chunk = sent[i]
    if at >= chunk.at + chunk.len then
      return at + chunk.new + #chunk.bytes - chunk.at - chunk.len
    end
    if at >= chunk.at then
      if chunk.len == #chunk.bytes then return chunk.new + at - chunk.at end
      return chunk.new + min(at - chunk.at, max(#chunk.bytes - 1, 0))
    end
  end
  return at + self._past
end

-- The sender's offset of one of the receiver's. Inside of edited bytes never
-- all of theirs: the sender repeats them then, and the new ones leave again.
local function to_old(self, new)
  local sent = self._sent
  if new >= self._new then return new - self._new + self._out end
  for i = sent.last, sent.first, -1 do
    local chunk = sent[i]
    if new >= chunk.new + #chunk.bytes then
      return new - chunk.new - #chunk.bytes + chunk.at + chunk.len
    end
    if new >= chunk.new then
      if chunk.len == #chunk.bytes then return chunk.at + new - chunk.new end
      return chunk.at + max(min(new - chunk.new, chunk.len - 1), 0)
    end
  end
  return new - self._past
end

-- What left in the place of bytes that come again, to the end of each edited
-- chunk, and where it begins; nil if that is not remembered.
local function as_sent(self, at, len)
  local sent = self._sent
  local oldest = sent[sent.first]
  if not oldest or at < oldest.at or at + len > self._out then return nil end
  local from, parts = to_new(self, at), {}
  for i = sent.first, sent.last do
    local chunk = sent[i]
    if chunk.at < at + len and chunk.at + chunk.len > at then
      local edited = chunk.len ~= #chunk.bytes
      local first = max(from - chunk.new, 0)
      local stop = edited and #chunk.bytes or min(at + len - chunk.at, chunk.len)
      insert(parts, sub(chunk.bytes, first + 1, stop))
    end
  end
  return concat(parts), from
end

-- Segments -----------------------------------------------------------------------

-- A FIN takes a number, behind the bytes.
local function fin_of(pkt)
  return pkt.flags.fin and 1 or 0
end

local function is_old(self, pkt, at, len)
  return at < self._next and at + len + fin_of(pkt) <= self._next
end

-- A segment that brings nothing new. It leaves as what left before; one that
-- is still held, or not remembered, does not.
local function again(self, pkt, at, len)
  log.warning('retransmit packet (ignored)')
  local bytes, from = '', nil
  if len == 0 then
    from = to_new(self, at)
  else
    bytes, from = as_sent(self, at, len)
    if not bytes then return drop(pkt) end
  end
  if not host.passthrough then
    local payload = pkt.payload:sub()
    if payload:asstring() ~= bytes then payload:replace(vbuffer_from(bytes)) end
    write_seq(self, pkt, from)
  end
  append(self._again, pkt)
end

-- Puts the next segment in order into the stream. Bytes of it that came
-- before are judged: they leave with the segment that brought them.
local function accept(self, pkt, at, len)
  local old, payload = self._next - at, pkt.payload
  if old > 0 and not host.passthrough then
    payload:sub(0, old):erase()
    write_seq(self, pkt, self._next)
    old, len = 0, len - old
  end
  local place, content = payload:sub(old):select()
  local first = self._stream:push(content)
  local fin = fin_of(pkt)
  append(self._held, { pkt = pkt, place = place, len = len - old, fin = fin })
  self._next = self._next + len - old + fin
  return first
end

local function queue(self, pkt, at, len)
  local queued = self._queued
  for i = #queued, 1, -1 do
    if not queued[i].pkt:can_continue() then remove(queued, i) end
  end
  if #queued >= MOST_QUEUED then
    log.warning('too many segments wait behind a hole')
    return drop(pkt)
  end
  local i = #queued
  while i > 0 and queued[i].at > at do i = i - 1 end
  insert(queued, i + 1, { pkt = pkt, at = at, len = len })
end

-- Puts in what waited for the bytes before it.
local function drain(self)
  local queued = self._queued
  while queued[1] and queued[1].at <= self._next do
    local next = remove(queued, 1)
    if not next.pkt:can_continue() then
      -- Dropped meanwhile: its sender repeats it.
    elseif is_old(self, next.pkt, next.at, next.len) then
      log.warning('retransmit packet (ignored)')
      drop(next.pkt)
    else
      accept(self, next.pkt, next.at, next.len)
    end
  end
end

-- For rules ----------------------------------------------------------------------

-- Begins at a sequence number: that of the first byte.
function methods.init(self, seq)
  if type(seq) ~= 'number' then
    error(format("Error in init (arg 1), expected 'number' got '%s'", type(seq)), 2)
  end
  methods.clear(self)
  self._start = seq % NUMBERS
end

-- Takes a packet. Gives an iterator at its bytes, at the end of the stream if
-- bytes before them are missing; nil if it brings nothing new.
function methods.push(self, pkt)
  segment(pkt, 'push')
  local at, len = offset_of(self, pkt.seq, self._next), #pkt.payload
  keep(pkt)
  if is_old(self, pkt, at, len) then return again(self, pkt, at, len) end
  if at > self._next then
    queue(self, pkt, at, len)
    return self._stream.data:pos('end')
  end
  local first = accept(self, pkt, at, len)
  drain(self)
  return first
end

-- The next packet whose bytes may leave, with its own numbers made right.
function methods.pop(self)
  local repeated = take(self._again)
  while repeated do
    if returned(repeated) then return repeated end
    repeated = take(self._again)
  end
  while true do
    local piece = self._stream:pop()
    local held = piece and take(self._held)
    if not held then return nil end
    local pkt, at, bytes = held.pkt, self._new, piece:sub():asstring()
    remember(self, held.len, held.fin, bytes)
    if returned(pkt) then
      check_buffer(api.restore_piece(store, held.place._a, held.place._c, piece._b, out))
      if not host.passthrough then write_seq(self, pkt, at) end
      return pkt
    end
  end
end

-- For a packet of this direction that was not pushed: its number follows what
-- the stream has grown by.
function methods.seq(self, pkt)
  segment(pkt, 'seq')
  write_seq(self, pkt, to_new(self, offset_of(self, pkt.seq, self._next)))
end

-- For a packet of the other direction: it acknowledges what the sender sent.
-- A recorded one does so already: it is made to count what became of that.
function methods.ack(self, pkt)
  segment(pkt, 'ack')
  local at, new
  if host.recorded then
    at = offset_of(self, pkt.ack_seq, self._out)
    new = to_new(self, at)
  else
    new = offset_of(self, pkt.ack_seq, self._new)
    at = to_old(self, new)
  end
  local seq = (self._start + (host.recorded and new or at)) % NUMBERS
  if seq ~= pkt.ack_seq then pkt.ack_seq = seq end
  if self._edited then remove_blocks(pkt) end
  local oldest = self._sent[self._sent.first]
  while oldest and oldest.new + #oldest.bytes <= new do
    forget(self)
    oldest = self._sent[self._sent.first]
  end
end

-- Drops what is held, and is as new.
function methods.clear(self)
  for i = self._again.first, self._again.last do drop(self._again[i]) end
  for i = self._held.first, self._held.last do drop(self._held[i].pkt) end
  for i = 1, #self._queued do drop(self._queued[i].pkt) end
  self._stream:getcomanager():close()
  self._stream, self._start, self._edited = vbuffer_stream(), false, false
  self._held, self._again, self._sent, self._queued = list(), list(), list(), {}
  self._next, self._out, self._new, self._past, self._remembered = 0, 0, 0, 0, 0
end

function getters.stream(self)
  return self._stream
end

-- The number that follows what was popped, as its receiver counts.
function getters.lastseq(self)
  return ((self._start or 0) + self._new) % NUMBERS
end

local NAME = 'tcp_stream'
local meta = { __name = NAME, __metatable = NAME, __attributes = { 'lastseq', 'stream' } }

function meta.__index(self, key)
  local method = methods[key]
  if method then return method end
  local getter = getters[key]
  if getter then return getter(self) end
  error(format("unknown field '%s'", tostring(key)), 2)
end

function meta.__newindex(_, key)
  if methods[key] or getters[key] then error('This variable is immutable', 2) end
  error(format("unknown field '%s'", tostring(key)), 2)
end

lib.pprint.register_named(NAME, meta.__attributes)
meta.__tostring = lib.pprint.text_of(NAME)

-- An empty stream.
return function ()
  local self = setmetatable({
    _stream = vbuffer_stream(), _start = false, _edited = false,
    _held = list(), _again = list(), _sent = list(), _queued = {},
    _next = 0, _out = 0, _new = 0, _past = 0, _remembered = 0,
  }, meta)
  return self
end
