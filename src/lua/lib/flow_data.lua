-- New stream data, as the listeners of `receive_data` get it.
--
-- Plain listeners get a sub-buffer of what is there from the first new piece
-- on, each a new one, so that what one erases the next does not stumble
-- over; streamed ones are coroutines of the stream and get a blocking
-- iterator. A piece keeps its number whatever is done to its bytes.
--
-- Bytes that nobody has looked at may not be in their stream yet: a part that
-- stands for them has neither owner nor span (`_v`, `_a`, `_c`, `_e`, `_n`) but
-- says of which event it is, `_l`, of which flow, `_s`, stream, `_i`, and
-- piece, `_p`. Whoever asks for the span gets them into the stream, before
-- anything is changed there.

local host, lib = ...

local object, streams, drive = lib.bufobject, lib.stream, lib.drive
local ops, E, api, store, current = host.ops, host.engine, host.buf_api, host.store, host.current
local error, ipairs, rawget, rawset, setmetatable, collectgarbage =
  error, ipairs, rawget, rawset, setmetatable, collectgarbage
local SCALE = host.buffer_scale
local new_data, iterator_at, run_streamed =
  streams.new_data, streams.iterator_at, streams.run_streamed
local hash = streams.vbuffer_stream_comanager.hash

-- Where a flow keeps its streams: no names that a rule would give to a field
-- of its own.
local UP, DOWN = 'stream:up', 'stream:down'

local flow_data = {}

local function stream_id()
  return current.stream_generation * SCALE + current.stream
end

-- The stream object of a direction. It lives with the flow, since it holds
-- the coroutines of its listeners.
local function stream_of(flow, key, id)
  local stream = rawget(flow, key)
  if stream and stream._b == id then return stream end
  if stream then stream:getcomanager():close() end
  stream = streams.stream_object(id)
  rawset(flow, key, stream)
  return stream
end

-- The stream that got the bytes of the event in `current`, and the number of
-- the first piece of them.
function flow_data.open(flow)
  local id = stream_id()
  if current.direction == 0 then return stream_of(flow, UP, id), current.piece end
  return stream_of(flow, DOWN, id), current.piece
end

-- The stream of the event under way, for those who have none.
local function opened()
  local stream = flow_data.open(lib.tcp_flow.object(current.flow))
  return stream
end

-- Bytes that are not in their stream ---------------------------------------------

local Sub = object.vbuffer_sub
local length, out = Sub.meta.__len, object.out

-- The span of the bytes of the event `serial`, the last that was asked for.
local shown = { serial = 0, _a = 0, _c = 0, _e = 0, _n = 0 }

local function note_span(serial, id, piece)
  object.check(api.present_piece(store, id, piece, out))
  shown.serial, shown._a, shown._c, shown._e, shown._n = serial, out.a, out.c, out.e, out.n
end

-- Puts the bytes of the event under way into their stream.
local function show()
  local serial = current.loose
  if serial == 0 then return end
  if ops.piece_show(E) ~= 0 then
    -- The collector does not see how much the buffers waiting for it hold.
    collectgarbage()
    if ops.piece_show(E) ~= 0 then error('not enough memory', 0) end
  end
  note_span(serial, stream_id(), current.piece)
end

-- Gives a part its owner and its span.
local function reveal(self)
  local serial, id = rawget(self, '_l'), rawget(self, '_i')
  show()
  if shown.serial ~= serial then note_span(serial, id, self._p) end
  rawset(self, '_v', stream_of(lib.tcp_flow.object(self._s), self._k, id))
  rawset(self, '_a', shown._a)
  rawset(self, '_c', shown._c)
  rawset(self, '_e', shown._e)
  rawset(self, '_n', shown._n)
end

for _, key in ipairs { '_v', '_a', '_c', '_e', '_n' } do
  Sub.getters[key] = function (self)
    if not rawget(self, '_l') then error("unknown field '" .. key .. "'", 0) end
    reveal(self)
    return rawget(self, key)
  end
end

function Sub.meta.__len(self)
  if rawget(self, '_l') == current.loose then return current.fresh end
  local bytes = length(self)
  return bytes
end

Sub.methods.size = Sub.meta.__len

-- For listeners --------------------------------------------------------------------

-- Everything from a piece on, or nil if that is nothing.
function flow_data.sub(stream, piece)
  local serial = current.loose
  if serial ~= 0 then
    local key = current.direction == 0 and UP or DOWN
    local loose = setmetatable({ _l = serial, _s = current.flow, _k = key, _i = stream_id(),
      _p = piece }, Sub.meta)
    return loose
  end
  if stream then
    local data = new_data(stream, piece)
    return data
  end
  -- Mostly the end of a direction, which brings nothing.
  if object.check(api.piece_span(store, stream_id(), piece, out)) == 0 then return nil end
  local data = new_data(opened(), piece)
  return data
end

flow_data.opened = opened

-- The first byte of a piece.
function flow_data.iterator(stream, piece)
  show()
  local first = iterator_at(stream or opened(), piece)
  return first
end

-- Lets a streamed listener go on. `listener` is its registration: one
-- function registered twice is two coroutines.
function flow_data.streamed(fn, listener, flow, stream, direction, piece)
  stream = stream or opened()
  local before, manager = drive.depth(), stream:getcomanager()
  run_streamed(manager, hash(listener, flow), fn, flow, flow_data.iterator(stream, piece), direction)
  if drive.abandon(before) then
    manager:close()
    error('a rule yielded while it was sending', 0)
  end
end

-- The flow is over: its waiting listeners will not go on.
function flow_data.close(flow)
  for _, key in ipairs { UP, DOWN } do
    local stream = rawget(flow, key)
    if stream then stream:getcomanager():close() end
    rawset(flow, key, nil)
  end
end

return flow_data
