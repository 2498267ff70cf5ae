-- Policies: criteria, learning.

TestCriteria, TestLearning = {}, {}

-- Whether an entry with that criterion is chosen for `port`.
local function chosen(criterion, port)
  local policy, hit = haka.policy.new('test'), false
  haka.policy { on = policy, port = criterion, action = function () hit = true end }
  policy:apply { ctx = {}, values = { port = port } }
  return hit
end

function TestCriteria:test_range() assert(chosen(haka.policy.range(10, 20), 15)) end
function TestCriteria:test_not_range() assert(not chosen(haka.policy.range(10, 20), 21)) end
function TestCriteria:test_outofrange() assert(chosen(haka.policy.outofrange(10, 20), 21)) end
function TestCriteria:test_not_outofrange() assert(not chosen(haka.policy.outofrange(10, 20), 15)) end
function TestCriteria:test_set() assert(chosen(haka.policy.set { 2, 5 }, 5)) end
function TestCriteria:test_not_set() assert(not chosen(haka.policy.set { 2, 5 }, 3)) end
function TestCriteria:test_present() assert(chosen(haka.policy.present(), 1)) end
function TestCriteria:test_absent() assert(chosen(haka.policy.absent(), nil)) end
function TestCriteria:test_not_absent() assert(not chosen(haka.policy.absent(), 1)) end

-- Learns 2, 5 and 10; returns whether a value is accepted then.
local function learned(criterion, other)
  local policy, hit = haka.policy.new('test'), false
  haka.policy { on = policy, port = criterion, proto = 'tcp', action = function () hit = true end }
  local function try(port)
    hit = false
    policy:apply { ctx = {}, values = { port = port, proto = other or 'tcp' } }
    return hit
  end
  haka.policy.learning = true
  for _, port in ipairs { 2, 5, 10 } do try(port) end
  haka.policy.learning = false
  other = nil
  return try
end

function TestLearning:test_range()
  local try = learned(haka.policy.learn(haka.policy.range))
  assert(not try(11) and try(3))
end

function TestLearning:test_set()
  local try = learned(haka.policy.learn(haka.policy.set))
  assert(not try(3) and try(5))
end

function TestLearning:test_present()
  assertError('cannot learn on haka.policy.present criterion$', function ()
    haka.policy.learn(haka.policy.present)
  end)
end

function TestLearning:test_nothing_when_another_fails()
  local try = learned(haka.policy.learn(haka.policy.set), 'udp')
  assert(not try(5))
end

addTestSuite('TestCriteria', 'TestLearning')
