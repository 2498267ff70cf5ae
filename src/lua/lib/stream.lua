-- Streams, and the coroutines that read them.
--
-- A coroutine manager holds the coroutines of one stream's listeners. Each
-- starts with the first bytes its listener is shown and is resumed with the
-- later ones; when its function returns or raises, it has seen all it will.
-- How many wait at a time is the host's to cap (`host.coroutine_parked`).

local host, lib = ...

local object, iterator = lib.bufobject, lib.iterator
local api, store = host.buf_api, host.store
local out, check, allocate, buffer_id = object.out, object.check, object.allocate, object.buffer
local new_sub, new_iterator, new_owned = object.new_sub, object.new_iterator, object.new_owned
local new_view, new_stream, new_sub_stream = object.new_view, object.new_stream, object.new_sub_stream
local new_blocking, exhausted = object.new_blocking, iterator.exhausted
local type, error, select, unpack = type, error, select, unpack
local setmetatable, getmetatable = setmetatable, getmetatable
local create, resume, status = coroutine.create, coroutine.resume, coroutine.status
local reading = iterator.reading
local position, available = api.position, api.available

local stream = {}

-- Coroutine managers ---------------------------------------------------------

local manager = {}
local Manager = { __index = manager, __name = 'vbuffer_stream_comanager', __metatable = false }

-- Keys by function and owner. Both are held weakly: a listener that is gone
-- must not be kept by the streams it never saw.
local keys = setmetatable({}, { __mode = 'k' })
local last_key = 0

-- A key that identifies the pair. Called with a dot.
function manager.hash(fn, owner)
  local owners = keys[fn]
  if not owners then
    owners = setmetatable({}, { __mode = 'k' })
    keys[fn] = owners
  end
  owner = owner == nil and keys or owner
  local key = owners[owner]
  if not key then
    last_key = last_key + 1
    key = last_key
    owners[owner] = key
  end
  return key
end

-- `_byid` finds an entry, `_list` keeps them in the order they started.
local function new_manager(of)
  return setmetatable({ _stream = of, _byid = {}, _list = {} }, Manager)
end

function manager.new()
  return new_manager(false)
end

function manager.start(self, id, fn)
  local entry = { fn = fn, co = false, done = false, parked = false, running = false }
  local old = self._byid[id]
  if old then
    for i, other in ipairs(self._list) do
      if other == old then self._list[i] = entry end
    end
  else
    self._list[#self._list + 1] = entry
  end
  self._byid[id] = entry
end

function manager.has(self, id)
  return self._byid[id] ~= nil
end

local function unpark(entry)
  if entry.parked then
    entry.parked = false
    if host.coroutine_parked then host.coroutine_parked(-1) end
  end
end

local function finish(entry)
  entry.done, entry.co, entry.fn = true, false, false
  unpark(entry)
end

local function park(entry)
  if entry.parked then return end
  if host.coroutine_parked and host.coroutine_parked(1) == false then
    finish(entry)
    error('too many waiting rules', 0)
  end
  entry.parked = true
end

-- A coroutine may raise nil to end silently; other errors are the feeder's.
local function feed(entry, current)
  if entry.done or entry.running then return end
  local argument = current
  if not entry.co then
    local wrap = host.coroutine_body
    entry.co = create(wrap and wrap(entry.fn) or entry.fn)
    argument = new_blocking(current._v, current._a, current._c, current.meter)
  end
  local co = entry.co
  local outer = reading.reader
  entry.running, reading.reader = true, co
  local ok, message = resume(co, argument)
  entry.running, reading.reader = false, outer
  -- One whose flow ended while it ran does not wait for anything.
  if status(co) == 'suspended' and not entry.done then return park(entry) end
  if not ok and message ~= nil and host.coroutine_failed then
    host.coroutine_failed(co, message)
  end
  finish(entry)
  if not ok and message ~= nil then error(lib.pprint.format_coroutine_error(co, message), 0) end
end

function manager.process(self, id, current)
  local entry = self._byid[id]
  if not entry then error('assertion failed! (unknown coroutine)', 0) end
  feed(entry, current)
end

function manager.process_all(self, current)
  for i = 1, #self._list do feed(self._list[i], current) end
end

-- Ends all coroutines, for a flow that closes.
function manager.close(self)
  for i = 1, #self._list do finish(self._list[i]) end
end

stream.vbuffer_stream_comanager = { new = manager.new, hash = manager.hash }

-- Streams --------------------------------------------------------------------

local function end_of(self)
  check(position(store, self._b, -1, out))
  return new_iterator(self, out.a, out.c, 0)
end

local common = {}

function common.finish(self)
  check(api.stream_finish(store, self._b))
end

function common.getcomanager(self)
  if not self._m then self._m = new_manager(self) end
  return self._m
end

local function data(self)
  return new_view(self._b, self)
end

local function isfinished(self)
  return check(api.stream_finished(store, self._b)) == 1
end

local Stream, SubStream = object.vbuffer_stream, object.vbuffer_sub_stream
for name, method in pairs(common) do
  Stream.methods[name], SubStream.methods[name] = method, method
end
Stream.getters.data, SubStream.getters.data = data, data
Stream.getters.isfinished, SubStream.getters.isfinished = isfinished, isfinished

function Stream.methods.push(self, buffer)
  if buffer == nil then error('missing data parameter', 0) end
  check(api.stream_push(store, self._b, buffer_id(buffer, 'push', 1), out))
  return new_iterator(self, out.a, out.c, 0)
end

function Stream.methods.pop(self)
  local id = allocate(api.stream_pop, self._b)
  if id ~= 0 then return new_owned(id) end
end

-- Sub-streams ----------------------------------------------------------------

function SubStream.methods.push(self, sub)
  if sub == nil then return nil end
  if getmetatable(sub) ~= 'vbuffer_sub' then
    error("Error in push (arg 1), expected 'vbuffer_sub' got '" .. type(sub) .. "'", 0)
  end
  if isfinished(self) then error('stream marked as finished', 0) end
  local reference, content = sub:select()
  local pushed = api.stream_push(store, self._b, content._b, out)
  if pushed < 0 then
    reference:restore(content)
    check(pushed)
  end
  self._last = self._last + 1
  self._places[self._last] = reference
  return new_iterator(self, out.a, out.c, 0)
end

-- Puts every piece that may leave back where it came from: one part from the
-- first byte put back to the last.
function SubStream.methods.pop(self)
  local owner, a, c, e, n
  while true do
    local piece = allocate(api.stream_pop, self._b)
    if piece == 0 then break end
    local reference = self._places[self._first]
    self._places[self._first] = nil
    self._first = self._first + 1
    local restored = api.restore_piece(store, reference._a, reference._c, piece, out)
    api.free(store, piece)
    if check(restored) == 1 then
      if not owner then owner, a, c = reference._v, out.a, out.c end
      e, n = out.e, out.n
    end
  end
  if owner ~= nil then return new_sub(owner, a, c, e, n) end
end

function stream.vbuffer_stream()
  return new_stream(allocate(api.stream_new), true)
end

function stream.vbuffer_sub_stream()
  return new_sub_stream(allocate(api.stream_new))
end

-- For the engine -------------------------------------------------------------

-- An object over a stream that the engine owns and frees.
function stream.stream_object(id)
  return new_stream(id, false)
end

-- Everything from a piece on, as a listener that is not streamed sees it; nil
-- if that is nothing.
function stream.new_data(of, piece)
  local bytes = check(api.piece_span(store, of._b, piece, out))
  if bytes == 0 then return nil end
  local sub = new_sub(of, out.a, out.c, out.e, out.n)
  return sub
end

-- The first byte of a piece, or where it will be.
function stream.iterator_at(of, piece)
  check(api.piece_span(store, of._b, piece, out))
  return new_iterator(of, out.a, out.c, 0)
end

-- Shows a streamed listener the bytes from `current` on, or the end of the
-- stream if that is nil. `fn(self, iterator, ...)` runs in a coroutine of its
-- own and gets the further arguments of the first call only.
function stream.run_streamed(comanager, key, fn, self, current, ...)
  local entry = comanager._byid[key]
  if entry and entry.done then return end
  current = current or end_of(comanager._stream)
  if check(available(store, current._a, current._c, 1)) == 0 and not exhausted(current) then
    return
  end
  if not entry then
    local count, arguments = select('#', ...), { ... }
    comanager:start(key, function (iter)
      return fn(self, iter, unpack(arguments, 1, count))
    end)
    entry = comanager._byid[key]
  end
  feed(entry, current)
end

return stream
