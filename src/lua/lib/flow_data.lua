-- New stream data, as the listeners of `receive_data` get it.
--
-- Plain listeners get a sub-buffer of what has arrived, each a new one, so
-- that what one erases the next does not stumble over; streamed ones are
-- coroutines of the stream and get a blocking iterator.

local host, lib = ...

local vbuffer, streams = lib.vbuffer, lib.stream
local drive = lib.drive
local current, error, rawget, rawset = host.current, error, rawget, rawset
local hash = streams and streams.vbuffer_stream_comanager.hash

local flow_data = {}

-- Keys of the flow object that keep the streams of the two directions.
local KEYS = { [0] = '_up', [1] = '_down' }

-- The stream object of a direction. It lives with the flow, since it holds
-- the coroutines of its listeners.
local function stream_of(flow, direction, id)
  local key = KEYS[direction]
  local stream = rawget(flow, key)
  if not stream or stream._b ~= id then
    if stream then stream:getcomanager():close() end
    stream = streams.stream_object(id)
    rawset(flow, key, stream)
  end
  return stream
end

local function id_of(index, generation)
  return generation * host.buffer_scale + index
end

-- What arrived with the event in `current`: a record for the other functions.
function flow_data.open(flow)
  local direction = current.direction
  local stream = stream_of(flow, direction, id_of(current.stream, current.stream_generation))
  local whole = stream.data
  return {
    stream = stream,
    whole = whole,
    from = #whole - current.fresh,
    iterator = whole:pos(#whole - current.fresh),
    finished = current.finished ~= 0,
  }
end

-- An iterator on the first new byte that is left.
local function iterator(data)
  local it = data.iterator:copy()
  if data.touched then
    -- A listener may have erased the byte the iterator stood on.
    it = data.whole:pos(data.from < #data.whole and data.from or 'end')
  end
  return it
end
flow_data.iterator = iterator

-- A sub-buffer of the new bytes, or nil when there are none.
function flow_data.sub(data)
  local it = iterator(data)
  data.touched = true
  local sub = it:sub('available')
  if sub and #sub > 0 then return sub end
end

function flow_data.stream(data)
  return data.stream
end

-- Lets a streamed listener go on.
function flow_data.streamed(fn, flow, data, direction)
  local stream = data.stream
  local before, held = drive.depth(), #data.whole
  streams.run_streamed(stream:getcomanager(), hash(fn, flow), fn, flow, iterator(data), direction)
  if drive.abandon(before) then
    stream:getcomanager():close()
    error('a rule yielded while it was sending', 0)
  end
  -- What changed may lie in front of the new bytes.
  local now = #data.whole
  if now ~= held then
    data.from = data.from + now - held
    if data.from < 0 then data.from = 0 end
    data.touched = true
  end
end

-- The flow is over: its waiting listeners will not go on.
function flow_data.close(flow)
  for direction = 0, 1 do
    local stream = rawget(flow, KEYS[direction])
    if stream then stream:getcomanager():close() end
    rawset(flow, KEYS[direction], nil)
  end
end

return flow_data
