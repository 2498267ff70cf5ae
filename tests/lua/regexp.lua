-- Regular expressions, run as a rule file by `tests/regexp.rs`.

local rem = require('regexp/pcre')
local re = rem.re
local test = {}

local function equal(found, wanted, what)
  if found ~= wanted then
    error(string.format('%s: found %s, wanted %s', what or 'value', tostring(found), tostring(wanted)), 2)
  end
end

local function raises(text, fn, ...)
  local ok, message = pcall(fn, ...)
  if ok then error('nothing raised, wanted: ' .. text, 2) end
  local found = tostring(message):gsub('^[^:]+:%d+: ', '')
  equal(found, text, 'error')
end

local from = haka.vbuffer_from

-- Two pieces in one buffer.
local function pieces(...)
  local buffer = from((...))
  for i = 2, select('#', ...) do buffer:append(from((select(i, ...)))) end
  return buffer
end

-- match ------------------------------------------------------------------------

function test.match_does_not_fail() re:match('.*', 'toto') end
function test.match_success() equal(re:match('.*', 'toto'), 'toto') end
function test.match_no_match() equal(re:match('foo', 'bar'), nil) end

function test.match_results()
  local text, first, last = re:match('bar', 'foo bar foo')
  equal(text, 'bar') equal(first, 4) equal(last, 7)
end

function test.match_nil_results()
  local text, first, last = re:match('foo', 'bar')
  equal(text, nil) equal(first, -1) equal(last, -1)
end

function test.match_percent() equal(re:match('%d', '5'), '5') equal(re:match('%%', 'a%'), '%') end

-- compile ----------------------------------------------------------------------

function test.compile_ok() re:compile('.*') end
function test.compile_object() assert(re:compile('.*')) end

function test.compile_bad_pattern()
  raises("PCRE compilation failed with error 'nothing to repeat' at offset 0",
    re.compile, re, '?')
end

function test.compile_percent() equal(re:compile('%d%s'):match('a1 b'), '1 ') end
function test.compile_nil() raises('nil argument', re.compile, re, nil) end

-- exec -------------------------------------------------------------------------

function test.exec_does_not_fail() re:compile('bar'):match('foo bar foo') end
function test.exec_success() assert(re:compile('bar'):match('foo bar foo')) end
function test.exec_no_match() equal(re:compile('foo'):match('bar'), nil) end

function test.exec_results()
  local text, first, last = re:compile('bar'):match('foo bar foo')
  equal(text, 'bar') equal(first, 4) equal(last, 7)
end

function test.exec_nil_results()
  local text, first, last = re:compile('foo'):match('bar')
  equal(text, nil) equal(first, -1) equal(last, -1)
end

-- feed -------------------------------------------------------------------------

function test.create_sink() assert(re:compile('foo'):create_sink()) end

function test.feed_single()
  equal(re:compile('foo'):create_sink():feed('bar foo bar', true), true)
end

function test.feed_across()
  local sink = re:compile('ab'):create_sink()
  equal(sink:feed('aaa', false), false)
  equal(sink:feed('bbb', true), true)
end

function test.feed_results()
  local sink, result = re:compile('bar'):create_sink(), haka.regexp_result()
  equal(sink:feed('foo b', false, result), false)
  equal(sink:feed('ar foo', false, result), true)
  equal(sink:feed('fail', true, result), true)
  equal(result.first, 4) equal(result.last, 7)
end

function test.feed_no_match_results()
  local sink, result = re:compile('abc'):create_sink(), haka.regexp_result()
  equal(sink:feed('aaa', false, result), false)
  equal(sink:feed('bbb', true, result), false)
  equal(result.first, -1) equal(result.last, -1)
end

function test.feed_partial()
  local sink = re:compile('abc'):create_sink()
  equal(sink:feed('aaa', false), false)
  equal(sink:ispartial(), true)
  sink = re:compile('abc'):create_sink()
  equal(sink:feed('aaa', true), false)
  equal(sink:ispartial(), true)
end

-- options ----------------------------------------------------------------------

function test.case_sensitive() equal(re:match('camel case', 'CaMeL CaSe'), nil) end

function test.case_insensitive()
  equal(re:match('camel case', 'CaMeL CaSe', re.CASE_INSENSITIVE), 'CaMeL CaSe')
end

function test.extended() equal(re:match('f o\to # text\n', 'foo', re.EXTENDED), 'foo') end

-- iterators --------------------------------------------------------------------

function test.iterator_over_two_pieces()
  equal(re:compile('foo'):match(pieces('bar fo', 'o dead'):pos('begin')), true)
end

function test.iterator_createsub()
  equal(re:compile('foo'):match(pieces('bar fo', 'o dead'):pos('begin'), true):asstring(), 'foo')
end

function test.iterator_twice()
  local regexp, iter = re:compile('foo'), pieces('bar fo', 'o foo dead'):pos('begin')
  equal(regexp:match(iter, true):asstring(), 'foo')
  equal(regexp:match(iter, true):asstring(), 'foo')
  equal(regexp:match(iter, true), nil)
end

function test.one_shot_on_iterators_and_buffers()
  local buffer = pieces('bar fo', 'o dead')
  equal(re:match('foo', buffer:pos('begin')), true)
  equal(re:match('foo', buffer:pos('begin'), 0, true):asstring(), 'foo')
  equal(re:match('foo', buffer):asstring(), 'foo')
end

-- Matches found by a coroutine that is fed a piece at a time, with what can
-- leave the stream leaving it in between.
local function blocking(pattern, arrivals, ...)
  local stream, manager = haka.vbuffer_stream(), haka.vbuffer_stream_comanager:new()
  local regexp, found, left = re:compile(pattern), {}, 0
  local arguments, count = { ... }, select('#', ...)
  manager:start(1, function (iter)
    while true do
      local match = regexp:match(iter, unpack(arguments, 1, count))
      if not match then break end
      found[#found + 1] = match == true and '' or match:asstring()
    end
  end)
  for i, text in ipairs(arrivals) do
    local current = stream:push(from(text))
    if i == #arrivals then stream:finish() end
    manager:process(1, current)
    while true do
      local piece = stream:pop()
      if not piece then break end
      left = left + #piece
    end
  end
  return found, left
end

local ARRIVALS = { 'bar fo', 'o dea', 'd beef', ' cof', 'fee', ' foo foo ' }

function test.blocking()
  local found, left = blocking('foo', ARRIVALS)
  equal(#found, 3) equal(left, 33)
end

function test.blocking_createsub()
  local found, left = blocking('foo', ARRIVALS, true)
  equal(table.concat(found, ' '), 'foo foo foo') equal(left, 33)
end

function test.blocking_createsub_readonly()
  equal(table.concat(blocking('foo', ARRIVALS, true, true), ' '), 'foo foo foo')
end

function test.blocking_longest_across_pieces()
  local arrivals = { 'x fo', 'o', 'oo', 'ba', 'x foob', 'ar' }
  equal(table.concat(blocking('foo+(bar)?', arrivals, true), ' '), 'foooo foobar')
  equal(#blocking('foo+(bar)?', arrivals), 2)
end

function test.blocking_partial_failure_then_match()
  equal(#blocking('foo', { 'bar fo', 'b foo' }), 1)
end

function test.complex()
  local html = from('<html><p>some</p><p class="toto">text</p></html>')
  local regexp, iter, found = re:compile('</?p( [^>]*)?>'), html:pos('begin'), {}
  while true do
    local tag = regexp:match(iter, true)
    if not tag then break end
    found[#found + 1] = tag:asstring()
  end
  equal(table.concat(found, ' '), '<p> </p> <p class="toto"> </p>')
end

-- Buffers ----------------------------------------------------------------------

function test.longest_on_buffers_first_on_strings()
  equal(re:match('a|ab', 'ab'), 'a')
  equal(re:match('a|ab', from('ab')):asstring(), 'ab')
  equal(re:match('a+?', 'aaa'), 'a')
  equal(re:compile('a+?'):match(from('aaa'):sub()):asstring(), 'aaa')
end

function test.back_references_on_strings()
  equal(re:match('(a|b)%1', 'abb'), 'bb')
  equal(re:match('(?<q>[\'"]).*?%k<q>', 'x="a\'b" "'), '"a\'b"')
  equal(re:match('(?>a+)b', 'xaab'), 'aab')
  equal(re:match('(?>a+)ab', 'xaab'), nil)
  equal(re:match('foo(?=bar)', 'foobaz foobar'), 'foo')
  equal(re:match('foo(?!bar).', 'foobar foobaz'), 'foob')
  equal(re:match('(?<=ab)c', 'c abc'), 'c')
  equal(re:match('a%Kb', 'ab'), 'b')
  equal(re:match('(<)?a(?(1)>|x)', 'ax <a>'), 'ax')
  equal(re:match('^(?:(a)|b)*%1$', 'abab'), nil)
end

function test.exploding_patterns_end()
  raises('PCRE internal error -8', re.match, re, '^(%w+)*%1!$', ('a'):rep(40))
  equal(re:match('(a+)+$', ('a'):rep(5000) .. 'b'), nil)
  equal(re:match('(a|a)*b', ('a'):rep(5000)), nil)
  equal(re:compile('(a|a)*b'):match(from(('a'):rep(5000))), nil)
end

function test.back_references_not_on_buffers()
  raises('PCRE internal error -16', re.match, re, '(a)%1', from('aa'))
end

function test.vbexec_modified_untouched()
  local buffer = from('foo bar foo')
  buffer:pos(5):split()
  re:compile('bar'):match(buffer:sub())
  equal(buffer.modified, false)
end

function test.vbexec_three_pieces()
  local sink = re:compile('bar'):create_sink()
  local matched, first, last = sink:feed(pieces('foo b', 'a', 'r foo'):sub(), true)
  equal(matched, true)
  equal(haka.vbuffer_sub(first, last):asstring(), 'bar')
end

function test.vbfeed_begin_and_end()
  local stream = haka.vbuffer_stream()
  local sink = re:compile('bar'):create_sink()
  local one = stream:push(from('foo b'))
  local matched, first, last = sink:feed(one:sub('available'))
  equal(matched, false) assert(first) equal(last, nil) equal(sink:ispartial(), true)
  equal(first:sub(1):asstring(), 'b')
end

function test.vbfeed_across()
  local stream = haka.vbuffer_stream()
  local sink = re:compile('bar'):create_sink()
  local matched, first, last = sink:feed(stream:push(from('foo b')):sub('available'))
  equal(matched, false) equal(last, nil) equal(sink:ispartial(), true)
  local again
  matched, again, last = sink:feed(stream:push(from('ar foo')):sub('available'))
  equal(matched, true) equal(again, nil) equal(sink:ispartial(), false)
  equal(haka.vbuffer_sub(first, last):asstring(), 'bar')
  equal(sink:feed(stream:push(from('fail')):sub('available'), true), true)
end

function test.vbmatch_two_buffers_of_two_pieces()
  local stream = haka.vbuffer_stream()
  local sink = re:compile('ab+c+d'):create_sink()
  local _, first = sink:feed(stream:push(pieces('xa', 'bb')):sub('available'))
  sink:feed(nil)
  local matched, _, last = sink:feed(stream:push(pieces('bcc', 'cdx')):sub('available'), true)
  equal(matched, true)
  equal(haka.vbuffer_sub(first, last):asstring(), 'abbbcccd')
end

function test.vbmatch_partial_at_the_end()
  local sink = re:compile('abc'):create_sink()
  equal(sink:feed(from('aaa'):sub(), true), false)
  equal(sink:ispartial(), true)
end

-- Regressions ------------------------------------------------------------------

local function feed_all(pattern, ...)
  local sink = re:compile(pattern):create_sink()
  local matched
  for i = 1, select('#', ...) do
    matched = sink:feed((select(i, ...)), i == select('#', ...))
  end
  return matched, sink
end

function test.start_of_line_is_the_start_of_the_subject()
  equal(feed_all('^abc', 'aaa', 'abc'), false)
  equal(feed_all('^abc', 'abc', 'abc'), true)
end

function test.end_of_line_at_the_very_end()
  equal(feed_all('abc$', 'abc', 'd'), false)
  equal(feed_all('abc$', 'aaa', 'abc'), true)
  equal(feed_all('abc$', 'abc', '\nabd'), true)
end

function test.empty_pieces()
  equal(feed_all('abc', 'ab', '', 'c'), true)
  equal(feed_all('abc', 'abc', ''), true)
  local sink = re:compile('abc'):create_sink()
  sink:feed(from('ab'):sub())
  sink:feed(from(''):sub())
  equal((sink:feed(from('c'):sub())), true)
  equal((sink:feed(nil, true)), true)
end

function test.nul_bytes()
  equal(re:match('%x00b', 'a\0b'), '\0b')
  equal(feed_all('a.b', 'a\0', 'b'), true)
  equal(re:match('a\0b', 'xa'), 'a')
end

function test.alternatives_across() equal(feed_all('foo|bar', 'fo', 'bar'), true) end

function test.anchored_not_partial()
  local _, sink = feed_all('^abc', 'aaa', '')
  equal(sink:ispartial(), false)
end

function test.overlapping_starts() equal(feed_all('aabc|abd', 'aab', 'd'), true) end

function test.every_split()
  local subject = 'foo <a href="x">\r\nbar</a> aabd 12:34'
  for _, pattern in ipairs { '<a[^>]*>', 'aabc|abd', '%d+:%d+$', '^bar', '%bhref%b', '%Rbar', 'o <|r<' } do
    local whole = re:match(pattern, from(subject)):asstring()
    for cut = 0, #subject do
      local buffer = pieces(subject:sub(1, cut), subject:sub(cut + 1))
      equal(re:match(pattern, buffer):asstring(), whole, pattern .. ' cut at ' .. cut)
      local sink = re:compile(pattern):create_sink()
      sink:feed(subject:sub(1, cut))
      equal(sink:feed(subject:sub(cut + 1), true), true, pattern .. ' fed at ' .. cut)
    end
  end
end

-- Sets -------------------------------------------------------------------------

local function shown(found)
  if not found then return 'nothing' end
  local parts = {}
  for pattern, last in pairs(found) do parts[#parts + 1] = pattern .. '@' .. last end
  table.sort(parts)
  return table.concat(parts, ' ')
end

function test.set_of_patterns()
  local set = re:set { 'foo', 'ba[rz]', '^x', '%d+$', 'foo%b' }
  equal(shown(set:match('a foo baz 12')), '1@5 2@9 4@12 5@5')
  equal(shown(set:match(pieces('a f', 'oo'))), '1@5 5@5')
  equal(set:match('nothing here'), nil)
end

function test.set_over_chunks()
  local subject = 'a foo baz 12'
  for cut = 0, #subject do
    local sink = re:set({ 'FOO', 'ba[rz]', '%d+$' }, re.CASE_INSENSITIVE):create_sink()
    sink:feed(subject:sub(1, cut))
    sink:feed(from(subject:sub(cut + 1)))
    sink:feed(nil, true)
    equal(shown(sink:found()), '1@5 2@9 3@12', 'cut at ' .. cut)
  end
end

function test.set_names_the_wrong_pattern()
  raises("pattern 2: PCRE compilation failed with error 'missing )' at offset 2",
    re.set, re, { 'a', '(b' })
end

-- The objects ------------------------------------------------------------------

function test.objects_are_closed()
  raises('This variable is immutable', function () re.match = nil end)
  raises("unknown field 'nothing'", function () return re:compile('a').nothing end)
  equal(getmetatable(re), 'regexp_module')
end

local names = {}
for name in pairs(test) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  local ok, message = pcall(test[name])
  print((ok and 'ok ' or 'FAILED ') .. name .. (ok and '' or ': ' .. tostring(message)))
end
