-- State machines: plain ones, and those whose states parse.

TestStateMachine = {}

local function testing()
  return {
    events = { 'test' },
    update = function (self, machine) machine:trigger('test') end,
  }
end

function TestStateMachine:test_compile()
  local machine = haka.state_machine.new('test', function ()
    state_type(testing())
    foo = state()
    bar = state()
    foo:on { event = events.enter, jump = bar }
    bar:on { event = events.test, jump = foo }
    initial(foo)
  end)
  assert(machine)
end

function TestStateMachine:test_run()
  local ran = {}
  local machine = haka.state_machine.new('test', function ()
    state_type(testing())
    foo = state()
    bar = state()
    foo:on { event = events.test, execute = function (self) ran.foo = self end, jump = bar }
    bar:on { event = events.test, execute = function () ran.bar = true end, jump = finish }
    initial(foo)
  end)
  local owner = {}
  local instance = machine:instanciate(owner)
  instance:update()
  instance:update()
  assert(ran.foo == owner and ran.bar)
  assert(instance._instance.finished)
  assertError('^state machine instance has finished$', instance.update, instance)
end

function TestStateMachine:test_fail()
  local ran = false
  local machine = haka.state_machine.new('test', function ()
    state_type(testing())
    foo = state()
    foo:on { event = events.test, execute = function () ran = true end, jump = fail }
    initial(foo)
  end)
  local instance = machine:instanciate({})
  instance:update()
  assert(ran and instance._instance.failed)
end

function TestStateMachine:test_defaults()
  local ran = false
  local machine = haka.state_machine.new('test', function ()
    state_type(testing())
    any:on { event = events.test, execute = function () ran = true end }
    foo = state()
    initial(foo)
  end)
  machine:instanciate({}):update()
  assert(ran)
end

local function bidirectional(second)
  local grammar = haka.grammar.new('test', function ()
    first = record { field('one', number(8)) }
    other = record { field('two', token('[a-z]+')), token(';') }
    export(first, other)
  end)
  local ran = {}
  local machine = haka.state_machine.new('test', function ()
    state_type(BidirectionalState)
    any:on { events = { events.parse_error, events.missing_grammar },
      execute = function (self, what) ran.fault = what end, jump = fail }
    foo = state(grammar.first, nil)
    bar = state(nil, grammar.other)
    foo:on { event = events.up, execute = function (self, result) ran.up = result.one end, jump = bar }
    bar:on { event = events.down, execute = function (self, result) ran.down = result.two end,
      jump = finish }
    initial(foo)
  end)
  local instance = machine:instanciate({})
  instance:update(haka.vbuffer_from('\7'):pos('begin'), 'up')
  instance:update(haka.vbuffer_from(second[1]):pos('begin'), second[2])
  return instance._instance, ran
end

function TestStateMachine:test_bidirectional_run()
  local instance, ran = bidirectional { 'abc;', 'down' }
  assert(ran.up == 7 and ran.down == 'abc' and ran.fault == nil)
  assert(instance.finished and not instance.failed)
end

function TestStateMachine:test_bidirectional_fail()
  local instance, ran = bidirectional { '\7', 'up' }
  assert(instance.failed and ran.down == nil and ran.fault == 'up')
end

function TestStateMachine:test_bidirectional_parse_fail()
  local instance, ran = bidirectional { '123;', 'down' }
  assert(instance.failed and ran.down == nil)
  assert(tostring(ran.fault):match("token /%[a%-z%]%+/ doesn't match"), tostring(ran.fault))
end

addTestSuite('TestStateMachine')
