-- State machines, as far as they need no grammar; those that do are in
-- state_grammars.lua.

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

addTestSuite('TestStateMachine')
