-- Regular expressions: `require('regexp/pcre').re`, and what the grammars
-- build on.
--
-- Matching is native and done in bounded portions; the loops around it are
-- here, so that the watchdog sees them and a blocking iterator may yield
-- between two of them. Text gets the match that Perl prefers; buffers,
-- iterators and sinks get the longest of the leftmost ones.
--
-- A sink remembers where the pieces lie that a match may still begin in
-- (`_pieces`: offset, owner, position), never their bytes.

local host, lib = ...

local object, iterator = lib.bufobject, lib.iterator
local ffi, api, R = host.ffi, host.regexp_api, host.regexps
local buf, store = host.buf_api, host.store
local at, check, int, text = object.out, object.check, object.int, object.text
local new_sub, new_iterator, is_iterator = object.new_sub, object.new_iterator, object.is_iterator
local advance, at_end, bytes, span_length = buf.advance, buf.at_end, buf.bytes, buf.span_length
local settle = buf.settle
local search_text, feed, finish, restart = api.search_text, api.feed, api.finish, api.restart
local scan_feed, scan_finish, scan_next = api.scan_feed, api.scan_finish, api.scan_next
local own, release, begin = api.own, api.release, api.begin
local block = iterator.block
local type, error, tostring, setmetatable, getmetatable =
  type, error, tostring, setmetatable, getmetatable
local sub_string, format, collectgarbage = string.sub, string.format, collectgarbage
local to_string, on_collect, cast = ffi.string, ffi.gc, ffi.cast

local regexp = {}

-- Answers of `at_end`.
local FOR_GOOD = 2
-- Bytes for one call, and pieces remembered before their list is thinned.
local SLICE, MOST_PIECES = 65536, 512

local out = ffi.new('wero_regexp_out')
local bytes_type = ffi.typeof('const char *')

local function raise()
  error(to_string(out.p, out.len), 0)
end

-- The number of a new native object, with the handle that frees it. The
-- collector does not see how much memory waits for it: it is run before
-- giving up.
local function make(f, ...)
  local id = f(R, out, ...)
  if id == -2 then
    collectgarbage()
    id = f(R, out, ...)
  end
  if id < 0 then raise() end
  local handle = own(R, id)
  if handle == nil then error('internal regexp error', 0) end
  return id, on_collect(handle, release)
end

-- How a kind of object prints: by its name and these fields.
local function describe(name, attributes)
  local pprint = lib.pprint
  if not pprint then return nil end
  pprint.register_named(name, attributes)
  return pprint.text_of(name)
end

-- A kind of object whose fields rules neither see nor set.
local function define(name, methods)
  return {
    __name = name, __metatable = name, __tostring = describe(name, {}),
    __index = function (_, key)
      local method = methods[key]
      if method ~= nil then return method end
      error(format("unknown field '%s'", tostring(key)), 0)
    end,
    __newindex = function (_, key)
      if methods[key] ~= nil then error('This variable is immutable', 0) end
      error(format("unknown field '%s'", tostring(key)), 0)
    end,
  }
end

-- Places in what was fed -------------------------------------------------------

local function remember(self, owner, a, c)
  local pieces = self._pieces
  local count = #pieces
  -- Every second one will do: a place is found from the one before, as long
  -- as its bytes are together.
  if count >= MOST_PIECES then
    local kept = {}
    for i = 1, count, 2 do kept[#kept + 1] = pieces[i] end
    pieces, count = kept, #kept
    self._pieces = pieces
  end
  pieces[count + 1] = { offset = self._offset, owner = owner, a = a, c = c }
end

-- Forgets the pieces before the one with the oldest possible start.
local function forget(self, candidate)
  local pieces = self._pieces
  local count = #pieces
  if candidate < 0 then candidate = self._offset end
  local keep = count
  while keep > 1 and pieces[keep].offset > candidate do keep = keep - 1 end
  if keep <= 1 then return end
  local kept = {}
  for i = keep, count do kept[#kept + 1] = pieces[i] end
  self._pieces = kept
end

-- The last piece that starts at or before an offset.
local function piece_at(self, offset)
  local pieces = self._pieces
  for i = #pieces, 1, -1 do
    if pieces[i].offset <= offset then return pieces[i] end
  end
end

-- The position in front of the byte at an offset: owner, id and code; nil if
-- it is gone.
local function place(self, offset)
  local piece = piece_at(self, offset)
  if not piece or offset == self._offset then
    if self._tail_a then return self._owner, self._tail_a, self._tail_c end
    return nil
  end
  if advance(store, piece.a, piece.c, offset - piece.offset, at) < 0 then return nil end
  local a, c = at.a2, at.c2
  if advance(store, a, c, 1, at) < 0 then return nil end
  return piece.owner, at.a, at.c
end

-- The position behind the byte before an offset.
local function place_behind(self, offset)
  local piece = offset > 0 and piece_at(self, offset - 1)
  if not piece then return place(self, offset) end
  if advance(store, piece.a, piece.c, offset - piece.offset, at) < 0 then
    return place(self, offset)
  end
  return piece.owner, at.a2, at.c2
end

-- Searches through `n` bytes from a position. True once all is decided.
local function feed_bytes(self, owner, a, c, n)
  self._owner = owner
  while n > 0 do
    check(bytes(store, a, c, 0, n < SLICE and n or SLICE, at))
    if at.len == 0 then break end
    remember(self, owner, a, c)
    local taken = feed(R, out, self._s, at.p, at.len)
    if taken < 0 then raise() end
    self._offset = self._offset + taken
    check(advance(store, a, c, taken, at))
    a, c, n = at.a2, at.c2, n - taken
    forget(self, out.candidate)
    if out.done ~= 0 then break end
  end
  self._tail_a, self._tail_c = a, c
  return out.done ~= 0
end

local function feed_end(self)
  if finish(R, out, self._s) < 0 then raise() end
end

-- What the last call decided, out of the slot that the next one takes.
local function matched()
  if out.done ~= 0 and out.first >= 0 then return out.first, out.last end
end

-- Sinks ------------------------------------------------------------------------

local sink = {}
local Sink = define('regexp_sink', sink)

-- A search over pieces. `_told` is the start that was reported last.
local function new_sink(of, anchored)
  local id, handle = make(begin, of._r, anchored and 1 or 0)
  return setmetatable({
    _s = id, _h = handle, _of = of, _pieces = {}, _offset = 0, _owner = false, _tail_a = false,
    _tail_c = false, _told = -1, _mark = false, _partial = false, _matched = false,
  }, Sink)
end

local Result = {
  __name = 'regexp_result', __metatable = 'regexp_result',
  __tostring = describe('regexp_result', { 'first', 'last' }),
  __newindex = function (_, key) error(format("unknown field '%s'", tostring(key)), 0) end,
}

-- Where a sink that is fed strings leaves offsets; -1 where there is none.
function regexp.result()
  return setmetatable({ first = -1, last = -1 }, Result)
end

local function feed_text(self, data, eof, result)
  local size, from = #data, 0
  local start = cast(bytes_type, data)
  while from < size and not self._matched do
    local n = size - from
    local taken = feed(R, out, self._s, start + from, n < SLICE and n or SLICE)
    if taken < 0 then raise() end
    from = from + taken
    if out.done ~= 0 then break end
  end
  if eof then
    feed_end(self)
  elseif size == 0 then
    -- Nothing but the state is asked for.
    if feed(R, out, self._s, start, 0) < 0 then raise() end
  end
  self._offset = self._offset + size
  self._partial = out.partial ~= 0
  self._matched = matched() ~= nil
  if result then
    local last = self._matched and out.last or -1
    result.first, result.last = out.candidate, last
  end
  return self._matched
end

local function feed_sub(self, sub, eof)
  if self._matched then return true end
  if sub then
    local n = check(span_length(store, sub._a, sub._c, sub._e, sub._n))
    if n > 0 then feed_bytes(self, sub._v, sub._a, sub._c, n) end
  end
  if eof then
    feed_end(self)
  elseif feed(R, out, self._s, nil, 0) < 0 then
    raise()
  end
  local candidate = out.candidate
  local first, last = matched()
  self._partial = out.partial ~= 0
  self._matched = first ~= nil
  local from, to
  if candidate >= 0 and candidate ~= self._told then
    self._told = candidate
    local owner, a, c = place(self, candidate)
    if owner ~= nil then from = new_iterator(owner, a, c, 0) end
  end
  if last then
    local owner, a, c = place_behind(self, last)
    if owner ~= nil then to = new_iterator(owner, a, c, 0) end
  end
  return self._matched, from, to
end

function sink.feed(self, data, eof, result)
  if eof ~= nil and type(eof) ~= 'boolean' then object.flag(eof, 'feed', 2) end
  if data == nil or getmetatable(data) == 'vbuffer_sub' then return feed_sub(self, data, eof) end
  if getmetatable(data) == 'vbuffer' then return feed_sub(self, data:sub(), eof) end
  if result ~= nil and getmetatable(result) ~= 'regexp_result' then
    error(format("Error in feed (arg 3), expected 'regexp_result' got '%s'", type(result)), 0)
  end
  return feed_text(self, text(data, 'feed', 1), eof, result)
end

-- Whether a match has begun that is not decided.
function sink.ispartial(self)
  return self._partial
end

-- Iterators --------------------------------------------------------------------

-- What lies in front of a held byte may leave: the byte becomes the place
-- from which others are found.
local function cut_pieces(self, offset, owner, a, c)
  local pieces = self._pieces
  local kept = { { offset = offset, owner = owner, a = a, c = c } }
  for i = 1, #pieces do
    if pieces[i].offset > offset then kept[#kept + 1] = pieces[i] end
  end
  self._pieces = kept
end

-- Keeps the bytes from an offset on in their stream: the mark that does so
-- moves there. Nil lets them go.
local function hold(self, offset, readonly)
  local mark = self._mark
  if mark and mark.offset == offset then return end
  local next = false
  if offset then
    local owner, a, c = place(self, offset)
    if owner ~= nil then
      check(buf.mark(store, a, c, readonly and 1 or 0, at))
      next = { offset = offset, owner = owner, a = at.a, c = at.c }
      cut_pieces(self, offset, owner, a, c)
    end
  end
  if mark then check(buf.unmark(store, mark.a, mark.c, at)) end
  self._mark = next
end

-- Runs a search on the bytes from an iterator on, waiting for more if it is
-- a blocking one. `keep()` tells from where on the bytes must stay while it
-- waits. The iterator is left at the end of what came.
local function run(self, iter, keep, readonly)
  local waits = getmetatable(iter) == 'vbuffer_iterator_blocking'
  while true do
    local n = check(advance(store, iter._a, iter._c, -1, at))
    local a, c, end_a, end_c = at.a, at.c, at.a2, at.c2
    local decided = n > 0 and feed_bytes(self, iter._v, a, c, n)
    if decided then break end
    iter._a, iter._c = end_a, end_c
    self._owner, self._tail_a, self._tail_c = iter._v, end_a, end_c
    if not waits or check(at_end(store, end_a, end_c)) == FOR_GOOD then
      feed_end(self)
      break
    end
    if n > 0 then hold(self, keep(), readonly) end
    block(iter)
  end
  return matched()
end

local function keep_start()
  if out.candidate >= 0 then return out.candidate end
end

-- A match that may still grow: only its end is wanted.
local function keep_end()
  if out.first >= 0 then return out.last end
end

local function keep_all() return 0 end

-- Puts an iterator behind a match; gives the part that matched.
local function take(self, iter, first, last, wanted, meter)
  local owner, a, c, sub
  if wanted then
    local from_owner, from_a, from_c = place(self, first)
    owner, a, c = place_behind(self, last)
    if first == last then
      sub = new_sub(owner, a, c, 0, 0)
    else
      check(settle(store, from_a, from_c, a, c, at))
      sub = new_sub(from_owner, at.a, at.c, at.e, at.n)
    end
  elseif self._mark then
    owner, a, c = place_behind(self, last)
  else
    -- Pieces before the last one may have left.
    local pieces = self._pieces
    local newest = pieces[#pieces]
    if newest and newest.offset < last then
      owner, a, c = place_behind(self, last)
    else
      owner, a, c = place(self, last)
    end
  end
  iter._v, iter._a, iter._c, iter.meter = owner, a, c, meter + last
  return sub
end

local function match_iterator(of, iter, wanted, readonly)
  local meter = iter.meter
  if readonly == nil then readonly = host.passthrough end
  local search = new_sink(of, false)
  local first, last = run(search, iter, wanted and keep_start or keep_end, readonly)
  local result
  if first then
    result = take(search, iter, first, last, wanted, meter)
  else
    iter.meter = meter + search._offset
  end
  hold(search, nil)
  if wanted then return result end
  return first ~= nil
end

local function match_sub(of, sub)
  local search = new_sink(of, false)
  local n = check(span_length(store, sub._a, sub._c, sub._e, sub._n))
  search._owner, search._tail_a, search._tail_c = sub._v, sub._a, sub._c
  if n == 0 or not feed_bytes(search, sub._v, sub._a, sub._c, n) then feed_end(search) end
  local first, last = matched()
  if not first then return nil end
  local from_owner, from_a, from_c = place(search, first)
  if first == last then return new_sub(from_owner, from_a, from_c, 0, 0) end
  local _, a, c = place_behind(search, last)
  check(settle(store, from_a, from_c, a, c, at))
  return new_sub(from_owner, at.a, at.c, at.e, at.n)
end

local function match_text(of, subject)
  local from, size = 0, #subject
  repeat
    local taken = search_text(R, out, of._r, subject, size, from)
    if taken < 0 then raise() end
    from = from + taken
  until out.done ~= 0
  local first, last = out.first, out.last
  if first < 0 then return nil, -1, -1 end
  return sub_string(subject, first + 1, last), first, last
end

-- Regular expressions ----------------------------------------------------------

local methods = {}
local Regexp = define('regexp', methods)

local function compile(pattern, options)
  if pattern == nil then error('nil argument', 0) end
  pattern = text(pattern, 'compile', 1)
  options = options == nil and 0 or int(options, 'compile', 2)
  local id, handle = make(api.compile, pattern, #pattern, options)
  return setmetatable({ _r = id, _h = handle }, Regexp)
end

function methods.match(self, input, createsub, readonly)
  if input == nil then error('nil argument', 0) end
  if is_iterator(input) then return match_iterator(self, input, createsub, readonly) end
  local kind = getmetatable(input)
  if kind == 'vbuffer_sub' then return match_sub(self, input) end
  if kind == 'vbuffer' then return match_sub(self, input:sub()) end
  return match_text(self, text(input, 'match', 1))
end

function methods.create_sink(self)
  return new_sink(self, false)
end

-- Sets of patterns --------------------------------------------------------------

local set, set_sink = {}, {}
local Set, SetSink = define('regexp_set', set), define('regexp_set_sink', set_sink)

local function compile_set(patterns, options)
  if type(patterns) ~= 'table' then
    error(format("Error in set (arg 1), expected 'table' got '%s'", type(patterns)), 0)
  end
  options = options == nil and 0 or int(options, 'set', 2)
  if api.set_draft(R, out) < 0 then raise() end
  for i = 1, #patterns do
    local pattern = text(patterns[i], 'set', 1)
    if api.set_add(R, out, pattern, #pattern, options) < 0 then
      error(format('pattern %d: %s', i, to_string(out.p, out.len)), 0)
    end
  end
  local id, handle = make(api.set_compile)
  return setmetatable({ _r = id, _h = handle }, Set)
end

-- Adds what the last call found to `found`, pattern -> end of its first match.
local function collect_hits(self, found)
  local pattern = scan_next(R, out)
  while pattern > 0 do
    found = found or {}
    found[pattern], self._found[pattern] = out.last, out.last
    pattern = scan_next(R, out)
  end
  return found
end

local function scan_bytes(self, owner, a, c, n)
  local found
  while n > 0 and not self._done do
    check(bytes(store, a, c, 0, n < SLICE and n or SLICE, at))
    if at.len == 0 then break end
    local taken = scan_feed(R, out, self._s, at.p, at.len)
    if taken < 0 then raise() end
    self._done = out.done ~= 0
    found = collect_hits(self, found)
    check(advance(store, a, c, taken, at))
    a, c, n = at.a2, at.c2, n - taken
  end
  return found
end

local function scan_text(self, data)
  local size, from, found = #data, 0
  local start = cast(bytes_type, data)
  while from < size and not self._done do
    local n = size - from
    local taken = scan_feed(R, out, self._s, start + from, n < SLICE and n or SLICE)
    if taken < 0 then raise() end
    self._done = out.done ~= 0
    found = collect_hits(self, found)
    from = from + taken
  end
  return found
end

-- What was found in these bytes for the first time: a table from the numbers
-- of the patterns to the ends of their first matches, nil if nothing was.
function set_sink.feed(self, data, eof)
  local found
  if getmetatable(data) == 'vbuffer' then data = data:sub() end
  if getmetatable(data) == 'vbuffer_sub' then
    local n = check(span_length(store, data._a, data._c, data._e, data._n))
    found = scan_bytes(self, data._v, data._a, data._c, n)
  elseif data ~= nil then
    found = scan_text(self, text(data, 'feed', 1))
  end
  if eof and not self._done then
    if scan_finish(R, out, self._s) < 0 then raise() end
    self._done = true
    found = collect_hits(self, found)
  end
  return found
end

-- All that was found so far, in the same form.
function set_sink.found(self)
  return self._found
end

function set.create_sink(self)
  local id, handle = make(api.scan_begin, self._r)
  return setmetatable({ _s = id, _h = handle, _of = self, _found = {}, _done = false }, SetSink)
end

-- The patterns found in a text, a buffer or a part of one.
function set.match(self, input)
  if input == nil then error('nil argument', 0) end
  return set.create_sink(self):feed(input, true)
end

-- The module -------------------------------------------------------------------

local engine = { CASE_INSENSITIVE = 1, EXTENDED = 2 }

function engine.compile(_, pattern, options)
  return compile(pattern, options)
end

-- Many patterns at once: which of them match, in one pass.
function engine.set(_, patterns, options)
  return compile_set(patterns, options)
end

-- Options may be left out in front of `createsub`.
function engine.match(_, pattern, input, options, createsub)
  if type(options) == 'boolean' then options, createsub = nil, options end
  local result, first, last = compile(pattern, options):match(input, createsub)
  if first then return result, first, last end
  return result
end

regexp.re = setmetatable({}, define('regexp_module', engine))

-- For grammars -----------------------------------------------------------------

local token = {}
local Token = { __index = token }

-- A pattern that is matched where an iterator stands and nowhere else.
function regexp.token(pattern)
  return setmetatable({ _regexp = compile(pattern), _idle = {} }, Token)
end

-- The longest match, with the iterator behind it; nil, with the iterator
-- where it was. Waits while the match may grow.
function token.match(self, iter, readonly)
  if getmetatable(iter) == 'vbuffer_iterator_blocking' then iter:wait() end
  local idle = self._idle
  local search = idle[#idle]
  if search then
    idle[#idle] = nil
    if restart(R, out, search._s, 1) < 0 then raise() end
    search._pieces, search._offset = {}, 0
  else
    search = new_sink(self._regexp, true)
  end
  search._mark = false
  local owner, a, c, meter = iter._v, iter._a, iter._c, iter.meter
  local first, last = run(search, iter, keep_all, readonly)
  local result
  if first then
    result = take(search, iter, first, last, true, meter)
    hold(search, nil)
  else
    if search._mark then
      owner = search._mark.owner
      hold(search, nil)
      a, c = at.a, at.c
    end
    iter._v, iter._a, iter._c, iter.meter = owner, a, c, meter
  end
  search._owner = false
  idle[#idle + 1] = search
  return result
end

-- A pattern that sinks look for anywhere.
function regexp.search(pattern)
  return compile(pattern)
end

return regexp
