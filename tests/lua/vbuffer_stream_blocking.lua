-- Blocking iterators and coroutine managers. Globals: haka, host, equal, raises.

local test = {}

local function from(text) return haka.vbuffer_from(text) end

-- Ten pushes of four bytes, the stream finished with the last.
local function feed(fn)
  local stream = haka.vbuffer_stream()
  local manager = haka.vbuffer_stream_comanager:new()
  manager:start(1, fn)
  for i = 1, 10 do
    local current = stream:push(from('Haka'))
    if i == 10 then stream:finish() end
    manager:process(1, current)
  end
  return stream
end

function test.advance()
  local total, rounds = 0, 0
  feed(function (iter)
    while not iter.iseof do
      total = total + iter:advance(10)
      rounds = rounds + 1
    end
  end)
  equal(total, 40)
  equal(rounds, 5)
end

function test.sub()
  local seen = {}
  feed(function (iter)
    while true do
      local sub = iter:sub(10)
      if not sub then break end
      seen[#seen + 1] = sub:asstring()
    end
  end)
  equal(table.concat(seen, ' '), 'HakaHakaHa kaHakaHaka HakaHakaHa kaHakaHaka')
end

function test.all()
  local text
  feed(function (iter) text = iter:sub('all'):asstring() end)
  equal(text, ('Haka'):rep(10))
end

function test.available()
  local count = 0
  feed(function (iter)
    for sub in iter:foreach_available() do
      equal(sub:asstring(), 'Haka')
      count = count + 1
    end
  end)
  equal(count, 10)
end

function test.true_counts_at_the_end()
  local counts = {}
  feed(function (iter)
    counts[1] = iter:advance(37)
    counts[2], counts[3] = iter:check_available(10)
    counts[4] = iter:advance(10)
    counts[5] = iter:advance(10)
    counts[6] = iter.meter
  end)
  equal(counts[1], 37)
  equal(counts[2], false)
  equal(counts[3], 3)
  equal(counts[4], 3)
  equal(counts[5], 0)
  equal(counts[6], 40)
end

function test.check_available_returns_to_the_start()
  local text
  feed(function (iter)
    iter:advance(2)
    local ok, n = iter:check_available(8)
    equal(ok, true) equal(n, 8)
    equal(iter.meter, 2)
    text = iter:sub(4):asstring()
    ok, n = iter:check_available(100, true)
    equal(ok, false) equal(n, 6)
  end)
  equal(text, 'kaHa')
end

function test.wait_does_not_move()
  local answers = {}
  feed(function (iter)
    answers[1] = iter:wait()
    equal(iter.meter, 0)
    equal(iter:advance('available'), 4)
    equal(iter:advance('available'), 0)
    equal(iter:advance('all'), 0)
    answers[2] = iter:wait()
    answers[3] = iter:sub('available')
  end)
  equal(answers[1], true)
  equal(answers[2], false)
  equal(answers[3], nil)
end

function test.pops_between_pushes()
  local stream = haka.vbuffer_stream()
  local manager = stream:getcomanager()
  equal(stream:getcomanager(), manager)
  local seen = {}
  manager:start('x', function (iter)
    for sub in iter:foreach_available() do seen[#seen + 1] = sub:asstring() end
    seen[#seen + 1] = 'end'
  end)
  for _, text in ipairs { 'one', '', 'two' } do
    manager:process('x', stream:push(from(text)))
    while stream:pop() do end
  end
  collectgarbage() collectgarbage()
  stream:finish()
  manager:process_all(stream.data:pos('end'))
  equal(table.concat(seen, ' '), 'one two end')
end

function test.rewriting_while_streaming()
  local stream = haka.vbuffer_stream()
  local manager, sent = stream:getcomanager(), {}
  manager:start(1, function (iter)
    while true do
      local sub = iter:sub(2)
      if not sub then break end
      sub:setstring(sub:asstring():upper() .. '.')
    end
  end)
  for _, text in ipairs { 'abcd', 'ef', 'gh' } do
    manager:process(1, stream:push(from(text)))
    local out = stream:pop()
    equal(out.modified, true)
    sent[#sent + 1] = out:sub():asstring()
  end
  equal(table.concat(sent, '|'), 'AB.CD.|EF.|GH.')
end

function test.errors_are_raised_unchanged_and_once()
  local stream = haka.vbuffer_stream()
  local manager = stream:getcomanager()
  local problem = {}
  manager:start(1, function () error(problem) end)
  manager:start(2, function () error('text', 0) end)
  manager:start(3, function () error(nil) end)
  local current = stream:push(from('x'))
  local ok, message = pcall(manager.process, manager, 1, current)
  equal(ok, false) equal(message, problem)
  raises('text', manager.process, manager, 2, current)
  manager:process(3, current)
  manager:process(1, current)
  manager:process_all(current)
  equal(manager:has(1), true)
  equal(manager:has(4), false)
  equal(pcall(manager.process, manager, 4, current), false)
end

function test.blocking_outside_a_coroutine()
  local stream = haka.vbuffer_stream()
  local iter = haka.vbuffer_iterator_blocking(stream:push(from('ab')))
  equal(iter:sub(2):asstring(), 'ab')
  raises('attempt to yield across C-call boundary', iter.sub, iter, 1)
  raises("unknown field 'restore'", function () return iter.restore end)
  equal(pcall(function () iter:copy():restore(from('x')) end), false)
end

function test.hash_tells_pairs_apart()
  local hash = haka.vbuffer_stream_comanager.hash
  local f, g, a, b = function () end, function () end, {}, {}
  equal(hash(f, a), hash(f, a))
  equal(hash(f, a) == hash(f, b), false)
  equal(hash(f, a) == hash(g, a), false)
  equal(hash(f, a) == hash(g, b), false)
  equal(hash(f), hash(f, nil))
end

function test.waiting_coroutines_are_counted_and_capped()
  local stream = haka.vbuffer_stream()
  local manager, before = stream:getcomanager(), host.parked
  local function wait(iter) iter:sub('all') end
  for i = 1, 3 do manager:start(i, wait) end
  manager:process_all(stream:push(from('x')))
  equal(host.parked, before + 3)
  host.parked_cap = before + 3
  manager:start(4, wait)
  raises('too many waiting rules', manager.process, manager, 4, stream:push(from('y')))
  host.parked_cap = nil
  manager:close()
  equal(host.parked, before)
end

return test
