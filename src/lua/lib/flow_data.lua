-- New stream data, as the listeners of `receive_data` get it.
--
-- Plain listeners get a sub-buffer of what is there from the first new piece
-- on, each a new one, so that what one erases the next does not stumble
-- over; streamed ones are coroutines of the stream and get a blocking
-- iterator. A piece keeps its number whatever is done to its bytes.

local host, lib = ...

local streams, drive = lib.stream, lib.drive
local current, error, ipairs, rawget, rawset = host.current, error, ipairs, rawget, rawset
local SCALE = host.buffer_scale
local iterator_at, run_streamed = streams.iterator_at, streams.run_streamed
local hash = streams.vbuffer_stream_comanager.hash

-- Where a flow keeps its streams: no names that a rule would give to a field
-- of its own.
local UP, DOWN = 'stream:up', 'stream:down'

local flow_data = {}

flow_data.sub = streams.new_data
flow_data.iterator = iterator_at

-- The stream object of a direction. It lives with the flow, since it holds
-- the coroutines of its listeners.
local function stream_of(flow, key)
  local id = current.stream_generation * SCALE + current.stream
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
  if current.direction == 0 then return stream_of(flow, UP), current.piece end
  return stream_of(flow, DOWN), current.piece
end

-- Lets a streamed listener go on. `listener` is its registration: one
-- function registered twice is two coroutines.
function flow_data.streamed(fn, listener, flow, stream, direction, piece)
  local before, manager = drive.depth(), stream:getcomanager()
  run_streamed(manager, hash(listener, flow), fn, flow, iterator_at(stream, piece), direction)
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
