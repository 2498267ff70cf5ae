-- TCP streams that rules put together themselves, one direction each, out of
-- packets that they keep: `require('protocol/tcp').tcp_stream()`.
--
-- The rule gives every segment of a direction to `push`, reads and edits what
-- is in `stream`, and sends what `pop` gives. Offsets count bytes behind the
-- number that `init` was given, and a FIN as one; `_next` is the first that
-- was not pushed in order. What was popped is in `sent.lua`.

local host, lib = ...

local ops, E, api, store = host.ops, host.engine, host.buf_api, host.store
local P, MASK = host.packets, host.packet_mask
local out, check_buffer = lib.bufobject.out, lib.bufobject.check
local native, sent = lib.native, lib['proto/tcp/sent']
local check, alive, TRANSPORT = native.check, native.alive, native.TRANSPORT
local vbuffer_stream, vbuffer_from = lib.stream.vbuffer_stream, lib.vbuffer.vbuffer_from
local log = lib.log.of('tcp')
local error, getmetatable, setmetatable, rawget, tostring, type, pcall =
  error, getmetatable, setmetatable, rawget, tostring, type, pcall
local insert, remove = table.insert, table.remove
local band, floor, format, max = bit.band, math.floor, string.format, math.max

local OK = 0
local NUMBERS = 2 ^ 32
-- The fixed part of the header; options.
local HEADER, END, NOP, SACK = 20, 0, 1, 5
-- Why a kept packet does not leave, as `packet_refuse` takes it.
local RETRANSMISSION, REASSEMBLY_CAP, CHECKSUM = 0, 1, 2
-- Of a packet's flags: it was cut by its capture.
local SNAPPED = 8
-- Segments that may wait behind a hole.
local MOST_QUEUED = 1024

local methods, getters = {}, {}

-- Packets ------------------------------------------------------------------------

local function segment(pkt, name)
  local meta = type(pkt) == 'table' and getmetatable(pkt)
  if type(meta) ~= 'table' or rawget(meta, '__name') ~= 'tcp' then
    error(format("Error in %s (arg 1), expected 'tcp' got '%s'", name, type(pkt)), 3)
  end
  if not alive(pkt) then error('invalid tcp packet', 3) end
end

local function keep(pkt)
  check(ops.packet_keep(E, pkt[0], pkt[1]), 'tcp packet')
  native.stopped(pkt)
end

-- Whether a kept packet is still there, to be sent.
local function returned(pkt)
  return ops.packet_return(E, pkt[0], pkt[1]) == OK
end

local function refuse(pkt, why)
  ops.packet_refuse(E, pkt[0], pkt[1], why)
end

-- A FIN takes a number, behind the bytes.
local function fin_of(pkt)
  return pkt.flags.fin and 1 or 0
end

local function is_cut(pkt)
  return band(P[band(pkt[0], MASK)].flags, SNAPPED) ~= 0
end

-- Bytes of the payload, those too that the capture has cut off.
local function length(pkt)
  if not is_cut(pkt) then return #pkt.payload end
  local ip = pkt:parent()
  return max(ip.len - ip.hdr_len - pkt.hdr_len, #pkt.payload)
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

-- Whether a packet may be believed: a wrong checksum must not be made right.
-- `sums` is what is known of its sender; what is known then comes second.
local function is_sound(pkt, sums)
  local result = ops.checksum_allows(E, pkt[0], pkt[1], sums)
  if result < 0 then check(-result, 'tcp packet') end
  return result % 2 == 1, floor(result / 2)
end

-- The offset of a number: the one nearest to another offset.
local function offset_of(self, number, near)
  if not self._start then error('the stream has no first sequence number: call init', 3) end
  local ahead = (number - self._start - near) % NUMBERS
  if ahead >= NUMBERS / 2 then ahead = ahead - NUMBERS end
  return near + ahead
end

-- Segments -----------------------------------------------------------------------

-- A packet that brings no bytes leaves by the next `pop`.
local function let_go(self, pkt)
  insert(self._again, pkt)
end

-- Nothing in an empty segment makes its receiver answer, unless its number is
-- one too low (RFC 9293, 3.10.7.4).
local function number_of_empty(pkt, offset)
  if host.recorded or pkt.flags.fin then return offset end
  return offset - 1
end

local function is_old(self, pkt, at, len)
  return at < self._next and at + len + fin_of(pkt) <= self._next
end

-- Gives a packet the bytes that left in the place of its own, as far as they
-- have left. False where they cannot be told.
local function make_as_sent(self, pkt, at, len)
  local record = self._sent
  local stop = at + len
  if stop + fin_of(pkt) > record.old_end then
    if pkt.flags.fin then pkt.flags.fin = false end
    if stop > record.old_end then stop = record.old_end end
  end
  local bytes, from = sent.bytes(record, at, stop)
  if not bytes and not record.edited then
    -- Either its receiver has them, or nobody knows better than the sender.
    return true
  elseif not bytes and stop > record.acked_old then
    return false
  elseif not bytes then
    bytes, from = '', record.acked_new
  end
  local payload = pkt.payload:sub()
  if payload:asstring() ~= bytes then payload:replace(vbuffer_from(bytes)) end
  write_seq(self, pkt, bytes == '' and number_of_empty(pkt, from) or from)
  return true
end

-- A segment that brings nothing new leaves as what left before; one that is
-- still held does not.
local function again(self, pkt, at, len)
  if len == 0 then
    if not host.passthrough then write_seq(self, pkt, sent.to_new(self._sent, at)) end
    return let_go(self, pkt)
  end
  local leaves = at < self._sent.old_end
  if leaves and not host.passthrough then leaves = make_as_sent(self, pkt, at, len) end
  if leaves then return let_go(self, pkt) end
  if host.defaults.warn_retransmissions then
    log.warning('retransmit packet (ignored)')
  else
    log.debug('retransmit packet (ignored)')
  end
  refuse(pkt, RETRANSMISSION)
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
  local pushed, first = pcall(self._stream.push, self._stream, content)
  if not pushed then
    place:restore(content)
    refuse(pkt, REASSEMBLY_CAP)
    error(first, 0)
  end
  local fin = fin_of(pkt)
  self._last = self._last + 1
  self._held[self._last] = { pkt = pkt, place = place, len = len - old, fin = fin,
    cut = is_cut(pkt) }
  self._next = self._next + len - old + fin
  return first
end

-- Has a segment wait behind a hole. False if too many do.
local function queue(self, pkt, at, len)
  local queued = self._queued
  for i = #queued, 1, -1 do
    if not alive(queued[i].pkt) then remove(queued, i) end
  end
  if #queued >= MOST_QUEUED then
    refuse(pkt, REASSEMBLY_CAP)
    return false
  end
  local i = #queued
  while i > 0 and queued[i].at > at do i = i - 1 end
  insert(queued, i + 1, { pkt = pkt, at = at, len = len })
  return true
end

-- Puts in what waited for the bytes before it.
local function drain(self)
  local queued = self._queued
  while queued[1] and queued[1].at <= self._next do
    local next = remove(queued, 1)
    if not alive(next.pkt) then
      -- Dropped meanwhile: its sender repeats it.
    elseif is_old(self, next.pkt, next.at, next.len) then
      refuse(next.pkt, RETRANSMISSION)
    else
      accept(self, next.pkt, next.at, next.len)
    end
  end
end

-- For rules ----------------------------------------------------------------------

-- Begins at a sequence number: that of the first byte.
function methods.init(self, seq)
  if type(seq) ~= 'number' or seq ~= seq then
    error(format("Error in init (arg 1), expected 'number' got '%s'", type(seq)), 2)
  end
  seq = floor(seq) % NUMBERS
  -- A SYN that comes again begins nothing.
  if seq == self._start then return end
  methods.clear(self)
  self._start = seq
end

-- Takes a packet. Gives an iterator at its bytes, at the end of the stream if
-- bytes before them are missing; nil if it brings nothing that may enter.
function methods.push(self, pkt)
  segment(pkt, 'push')
  local at, len = offset_of(self, pkt.seq, self._next), length(pkt)
  keep(pkt)
  local sound
  sound, self._sums = is_sound(pkt, self._sums)
  if not sound then
    if self._sent.edited then return refuse(pkt, CHECKSUM) end
    return let_go(self, pkt)
  end
  if pkt.flags.rst then
    -- It does not wait for what is missing.
    if not host.passthrough then write_seq(self, pkt, sent.to_new(self._sent, at)) end
    return let_go(self, pkt)
  end
  if is_old(self, pkt, at, len) then return again(self, pkt, at, len) end
  if at > self._next then
    return queue(self, pkt, at, len) and self._stream.data:pos('end') or nil
  end
  local first = accept(self, pkt, at, len)
  drain(self)
  return first
end

-- The next packet whose bytes may leave, with its own numbers made right.
function methods.pop(self)
  local unchanged = remove(self._again, 1)
  while unchanged do
    if returned(unchanged) then return unchanged end
    unchanged = remove(self._again, 1)
  end
  while true do
    local piece = self._stream:pop()
    local held = piece and self._held[self._first]
    if not held then return nil end
    self._held[self._first], self._first = nil, self._first + 1
    local pkt, new, bytes = held.pkt, self._sent.new_end, piece:sub():asstring()
    if held.cut then
      sent.skip(self._sent, held.len, held.fin)
    else
      sent.add(self._sent, held.len, held.fin, bytes)
    end
    if returned(pkt) then
      check_buffer(api.restore_piece(store, held.place._a, held.place._c, piece._b, out))
      if bytes == '' and held.len > 0 then new = number_of_empty(pkt, new) end
      if not host.passthrough then write_seq(self, pkt, new) end
      return pkt
    end
  end
end

-- For a packet of this direction that was not pushed: its number follows what
-- the stream has grown by.
function methods.seq(self, pkt)
  segment(pkt, 'seq')
  write_seq(self, pkt, sent.to_new(self._sent, offset_of(self, pkt.seq, self._next)))
end

-- For a packet of the other direction: it acknowledges what the sender sent.
-- A recorded one does so already: it is made to count what became of that.
function methods.ack(self, pkt)
  segment(pkt, 'ack')
  if not pkt.flags.ack then return end
  local sound
  sound, self._receiver_sums = is_sound(pkt, self._receiver_sums)
  if not sound then return end
  local record, new, written = self._sent, nil, nil
  if host.recorded then
    new = sent.to_new(record, offset_of(self, pkt.ack_seq, record.old_end))
    written = new
  else
    new = offset_of(self, pkt.ack_seq, record.new_end)
    written = sent.to_old(record, new)
  end
  local seq = (self._start + written) % NUMBERS
  if seq ~= pkt.ack_seq then pkt.ack_seq = seq end
  if record.edited then remove_blocks(pkt) end
  sent.acknowledge(record, new)
end

local function drop(pkt)
  if returned(pkt) then pkt:drop() end
end

-- Drops what is held, and is as new.
function methods.clear(self)
  for i = 1, #self._again do drop(self._again[i]) end
  for i = self._first, self._last do drop(self._held[i].pkt) end
  for i = 1, #self._queued do drop(self._queued[i].pkt) end
  self._stream:getcomanager():close()
  self._stream, self._start = vbuffer_stream(), false
  self._sums, self._receiver_sums = 0, 0
  self._again, self._queued, self._held, self._first, self._last = {}, {}, {}, 1, 0
  self._next, self._sent = 0, sent.new()
end

function getters.stream(self)
  return self._stream
end

-- The number that follows what was popped, as its receiver counts.
function getters.lastseq(self)
  return ((self._start or 0) + self._sent.new_end) % NUMBERS
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
    _stream = vbuffer_stream(), _start = false, _sums = 0, _receiver_sums = 0,
    _again = {}, _queued = {}, _held = {}, _first = 1, _last = 0,
    _next = 0, _sent = sent.new(),
  }, meta)
  return self
end
