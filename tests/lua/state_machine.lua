-- needs: definition, state_type, state_instance, state_machine
-- State machines: definitions, actions, the order of callbacks, timeouts.

local host, lib, test = ...

local machines = lib.state_machine
local tests = {}

-- Timers that the tests fire themselves.
local timers = { running = {}, started = {}, last = 0, full = false }
lib.timer = timers

function timers.start(seconds, owner)
  if timers.full then error('too many timers', 0) end
  timers.last = timers.last + 1
  timers.running[timers.last] = { seconds = seconds, owner = owner }
  timers.started[#timers.started + 1] = seconds
  return timers.last
end

function timers.stop(number)
  timers.running[number] = nil
end

local function fire(seconds)
  for number = 1, timers.last do
    local timer = timers.running[number]
    if timer and timer.seconds == seconds then return timer.owner:expired(number) end
  end
  error('no timer of ' .. seconds .. ' s runs', 2)
end

local function running()
  local list = {}
  for number = 1, timers.last do
    local timer = timers.running[number]
    if timer then list[#list + 1] = timer.seconds end
  end
  return table.concat(list, ' ')
end

-- A definition with states a, b and c that know the events `go` and `other`;
-- `fill` gets the words and adds the actions.
local function machine(fill)
  return machines.new('m', function ()
    state_type { events = { 'go', 'other' },
      update = function (_, instance, event, ...) instance:trigger(event, ...) end }
    a = state()
    b = state()
    c = state()
    fill({ a = a, b = b, c = c, any = any, events = events, fail = fail, finish = finish })
    any:on { event = events.go, when = function () return false end, jump = a }
    any:on { event = events.go, when = function () return false end, jump = b }
    any:on { event = events.go, when = function () return false end, jump = c }
    initial(a)
  end)
end

-- Each callback of the machine's own notes itself in `owner.trace`.
local BUILT_IN = { 'enter', 'leave', 'init', 'finish', 'fail' }

local function noting(w, skip)
  for _, state in pairs { 'a', 'b', 'c' } do
    for _, event in ipairs(BUILT_IN) do
      if not (skip and skip[state .. event]) then
        w[state]:on { event = w.events[event], execute = function (self)
          self.trace[#self.trace + 1] = event .. ' ' .. state
        end }
      end
    end
  end
end

local function start(fill)
  local owner = { trace = {} }
  return machine(fill):instanciate(owner), owner
end

local function trace_of(owner)
  return table.concat(owner.trace, ', ')
end

-- Definition ------------------------------------------------------------------

function tests.definition_errors()
  test.raises_here('state machine definition must by a function', function ()
    machines.new('m', 1)
  end)
  local function define(fn)
    return function () machines.new('m', fn) end
  end
  test.raises_here('cannot create state without prior call to state_type()',
    define(function () a = state() end))
  test.raises_here('state type must be either a table or an existing state type',
    define(function () state_type(3) end))
  test.raises_here('state type must be either a table or an existing state type',
    define(function () state_type(lib.event.Event) end))
  test.raises_here("'state' is reserved in the state machine scope",
    define(function () state = 1 end))
  test.raises_here("'any' is reserved in the state machine scope",
    define(function () any = 1 end))
  test.raises_here('events is a read only table', define(function () events.x = 1 end))
  test.raises_here('invalid timer delay', define(function () events.timeout(0) end))
  test.raises_bare('state machine must have an initial state',
    define(function () state_type {} a = state() end))
  test.raises_bare('state machine has an unknown initial state',
    define(function () state_type {} a = state() initial(3) end))
  test.raises_bare('state machine has an unknown initial state',
    define(function () state_type {} initial(state()) end))
  test.equal(rawget(_G, 'a'), nil)
end

function tests.action_errors()
  local function on(action)
    return function ()
      machines.new('m', function ()
        state_type { events = { 'go' } }
        a = state()
        a:on(action(events))
      end)
    end
  end
  local nothing = function () end
  local function raises(message, action)
    test.raises_here(message, on(action))
  end
  raises('action must be a table', function () return 1 end)
  raises('when must be a function', function () return { when = 1 } end)
  raises('execute must be a function', function () return { execute = 1 } end)
  raises('can only jump on defined state', function () return { jump = 'a' } end)
  raises('action must have either an execute or a jump', function (e) return { event = e.go } end)
  raises('action must have an event', function () return { execute = nothing } end)
  raises('action must have an event', function () return { execute = nothing, event = 'go' } end)
  raises('events must be a table of event', function () return { execute = nothing, events = 1 } end)
  raises('events must be a table of event',
    function (e) return { execute = nothing, events = e.go } end)
  raises('events must be a table of event',
    function () return { execute = nothing, events = { 'go' } } end)
  raises("unknown event 'gone'", function (e) return { execute = nothing, event = e.gone } end)
end

-- An undefined name reads nil, so that the action has neither.
function tests.jump_to_an_undefined_name()
  test.raises_here('action must have either an execute or a jump', function ()
    machines.new('m', function ()
      state_type { events = { 'go' } }
      a = state()
      a:on { event = events.go, jump = nowhere }
    end)
  end)
end

function tests.any_ignores_events_a_state_does_not_have()
  local ran = 0
  local made = machines.new('m', function ()
    state_type { events = { 'go' } }
    a = state()
    any:on { events = { events.go, events.never }, execute = function () ran = ran + 1 end }
    initial(a)
  end)
  local instance = made:instanciate({})
  instance:trigger('go')
  test.equal(ran, 1)
  test.raises_bare("no event named 'never' on state 'a'", instance.trigger, instance, 'never')
end

function tests.a_state_nobody_jumps_to_is_warned_of()
  host.forget()
  machines.new('lonely', function ()
    state_type {}
    a, b, c = state(), state(), state()
    a:on { event = events.timeout(3), jump = b }
    initial(a)
  end)
  test.same(host.logs, { 'warn states: state machine lonely never jump on state: c' })
end

-- Only the definition and what it calls see the words.
function tests.words_stay_inside()
  rawset(_G, 'events', 'mine')
  rawset(_G, 'counted', 0)
  local function helper(of)
    of:on { event = go_event, execute = function () counted = counted + 1 end }
    helper_state = state()
    of:on { event = go_event, when = function () return finish == nil end, jump = helper_state }
  end
  local made = machines.new('m', function ()
    state_type { events = { 'go' } }
    go_event = events.go
    a = state()
    a:on { event = events.go, when = function () return state ~= nil or events ~= 'mine' end,
      jump = fail }
    helper(a)
    initial(a)
  end)
  local instance = made:instanciate({})
  instance:trigger('go')
  test.equal(instance.current, 'a')
  test.equal(rawget(_G, 'counted'), 1)
  test.equal(rawget(_G, 'state'), nil)
  test.equal(rawget(_G, 'helper_state'), nil)
  test.equal(getmetatable(_G), nil)
  rawset(_G, 'events', nil)
end

function tests.an_error_in_the_definition_leaves_no_words()
  test.raises('boom', machines.new, 'm', function () error('boom', 0) end)
  test.equal(rawget(_G, 'state_type'), nil)
  test.equal(_G.state_type, nil)
  test.equal(getmetatable(_G), nil)
end

function tests.a_class_made_by_hand()
  local Made = lib.class.class('Made', machines.State)
  Made._events = { 'tick' }
  function Made.method:update(instance) instance:trigger('tick') end
  local made = machines.new('m', function ()
    state_type(Made)
    a = state()
    a:on { event = events.tick, jump = finish }
    initial(a)
  end)
  local instance = made:instanciate({})
  instance:update()
  test.equal(instance.finished, true)
end

function tests.state_types_inherit_events()
  local Base = machines.new_state_type { name = 'Base', events = { 'one' } }
  local Derived = machines.new_state_type { parent = Base, events = { 'two' } }
  test.equal(Base.name, 'Base')
  test.equal(Derived.name, 'AnonymousState')
  local seen = ''
  local made = machines.new('m', function ()
    state_type(Derived)
    a = state()
    a:on { events = { events.one, events.two }, execute = function (_, text) seen = seen .. text end }
    initial(a)
  end)
  local instance = made:instanciate({})
  instance:trigger('one', 'x')
  instance:trigger('two', 'y')
  test.equal(seen, 'xy')
  test.raises_bare('unimplemented update function', instance.update, instance)
end

-- Actions ---------------------------------------------------------------------

function tests.the_first_action_that_agrees_is_taken()
  local taken
  local function take(name) return function () taken = name end end
  local instance = start(function (w)
    w.a:on { event = w.events.go, when = function (_, n) return n == 1 end, execute = take('first') }
    w.a:on { event = w.events.go, when = function (_, n) return n == 2 end, execute = take('second') }
    w.any:on { event = w.events.go, when = function (_, n) return n ~= 9 end, execute = take('any') }
  end)
  for n, name in pairs { 'first', 'second', 'any' } do
    instance:update('go', n)
    test.equal(taken, name)
  end
  taken = 'none'
  instance:update('go', 9)
  test.equal(taken, 'none')
end

function tests.callbacks_get_owner_and_arguments()
  local got
  local instance, owner = start(function (w)
    w.a:on { event = w.events.go, execute = function (...) got = table.pack(...) end }
  end)
  instance:trigger('go', nil, 'x', nil)
  test.equal(got.n, 4)
  test.equal(got[1], owner)
  test.equal(got[3], 'x')
end

function tests.errors_of_events_are_the_callers()
  local instance = start(function (w)
    w.a:on { event = w.events.go, execute = function () error('mine', 0) end }
    w.a:on { event = w.events.other, execute = function () error() end }
  end)
  test.raises_bare('mine', instance.trigger, instance, 'go')
  local ok, message = pcall(instance.trigger, instance, 'other')
  test.equal(ok, false)
  test.equal(message, nil)
  test.equal(instance.current, 'a')
end

function tests.the_machines_own_events_are_not_to_be_triggered()
  local instance = start(noting)
  for _, name in ipairs { 'fail', 'enter', 'leave', 'init', 'finish', 'timeout' } do
    test.raises_bare(string.format("no event named '%s' on state 'a'", name),
      instance.trigger, instance, name)
  end
end

-- Sequences -------------------------------------------------------------------

function tests.start()
  host.debug()
  host.forget()
  local _, owner = start(noting)
  test.equal(trace_of(owner), 'enter a, init a')
  test.same(host.logs, {
    "debug states: m: initial state 'a'",
    "debug states: m: enter transition on state 'a'",
    "debug states: m: init transition on state 'a'",
  })
end

function tests.start_jumping_from_enter()
  local instance, owner = start(function (w)
    noting(w, { aenter = true })
    w.a:on { event = w.events.enter, jump = w.b }
  end)
  test.equal(trace_of(owner), 'leave a, enter b, init b')
  test.equal(instance.current, 'b')
end

function tests.a_jump_from_init_is_ignored()
  local instance = start(function (w)
    w.a:on { event = w.events.init, jump = w.b }
  end)
  test.equal(instance.current, 'a')
end

function tests.jump()
  local instance, owner = start(function (w)
    noting(w)
    w.a:on { event = w.events.go, jump = w.b }
  end)
  owner.trace = {}
  host.debug()
  host.forget()
  instance:update('go')
  test.equal(trace_of(owner), 'leave a, enter b')
  test.same(host.logs, {
    "debug states: m: transition from state 'a' to state 'b'",
    "debug states: m: leave transition on state 'a'",
    "debug states: m: enter transition on state 'b'",
  })
end

function tests.jump_to_itself()
  local instance, owner = start(function (w)
    noting(w)
    w.a:on { event = w.events.go, jump = w.a }
  end)
  owner.trace = {}
  instance:update('go')
  test.equal(trace_of(owner), 'leave a, enter a')
end

function tests.jump_from_enter_goes_on()
  local instance, owner = start(function (w)
    noting(w, { benter = true })
    w.a:on { event = w.events.go, jump = w.b }
    w.b:on { event = w.events.enter, execute = function (self)
      self.trace[#self.trace + 1] = 'through b'
    end, jump = w.c }
  end)
  owner.trace = {}
  instance:update('go')
  test.equal(trace_of(owner), 'leave a, through b, leave b, enter c')
  test.equal(instance.current, 'c')
end

function tests.jump_from_leave_replaces_the_target()
  local instance, owner = start(function (w)
    noting(w, { aleave = true })
    w.a:on { event = w.events.go, jump = w.b }
    w.a:on { event = w.events.leave, jump = w.c }
  end)
  owner.trace = {}
  host.debug()
  host.forget()
  instance:update('go')
  test.equal(trace_of(owner), 'enter c')
  test.same(host.logs, {
    "debug states: m: transition from state 'a' to state 'b'",
    "debug states: m: leave transition on state 'a'",
    "debug states: m: transition to state 'c'",
    "debug states: m: enter transition on state 'c'",
  })
end

function tests.jump_to_finish()
  local seen
  local instance, owner = start(function (w)
    noting(w)
    w.a:on { event = w.events.go, jump = w.finish }
    w.any:on { event = w.events.finish, execute = function () seen = true end }
  end)
  owner.trace = {}
  host.debug()
  host.forget()
  instance:update('go')
  test.equal(trace_of(owner), 'leave a, finish a')
  test.same(host.logs, {
    "debug states: m: leave transition on state 'a'",
    "debug states: m: finish from state 'a'",
    "debug states: m: finish transition on state 'a'",
  })
  test.equal(seen, nil)
  test.equal(instance._instance.finished, true)
  test.equal(instance._instance.failed, false)
  test.equal(instance.current, nil)
end

function tests.jump_to_fail()
  local current
  local instance, owner = start(function (w)
    noting(w, { afail = true })
    w.a:on { event = w.events.go, jump = w.fail }
    -- The state is still the current one, and where this jumps is ignored.
    w.a:on { event = w.events.fail, jump = w.b, execute = function (self)
      self.trace[#self.trace + 1] = 'fail a'
      current = self.instance.current
    end }
  end)
  owner.trace, owner.instance = {}, instance
  host.debug()
  host.forget()
  instance:update('go')
  test.equal(trace_of(owner), 'fail a, leave a, finish a')
  test.same(host.logs, {
    "debug states: m: fail transition on state 'a'",
    "debug states: m: leave transition on state 'a'",
    "debug states: m: finish from state 'a'",
    "debug states: m: finish transition on state 'a'",
  })
  test.equal(current, 'a')
  test.equal(instance._instance.finished, true)
  test.equal(instance._instance.failed, true)
end

function tests.a_finished_machine()
  local instance, owner = start(function (w)
    w.a:on { event = w.events.finish, execute = function (self)
      test.equal(self.instance.current, nil)
      test.raises_bare('state machine instance has finished', self.instance.finish, self.instance)
    end }
  end)
  owner.instance = instance
  instance:finish()
  for _, method in ipairs { 'finish', 'update', 'trigger' } do
    test.raises_bare('state machine instance has finished', instance[method], instance, 'go')
  end
  test.equal(instance.failed, false)
end

function tests.an_error_in_a_callback_fails_the_machine()
  for _, event in ipairs { 'enter', 'leave', 'finish' } do
    host.forget()
    local instance, owner = start(function (w)
      noting(w, { benter = event == 'enter', aleave = event == 'leave', bfinish = event == 'finish' })
      w.a:on { event = w.events.go, jump = w.b }
      w.b:on { event = w.events.other, jump = w.finish }
      local at = event == 'leave' and w.a or w.b
      at:on { event = w.events[event], execute = function () error('oops', 0) end }
    end)
    owner.trace = {}
    instance:update('go')
    if event == 'finish' then instance:update('other') end
    test.same(host.logs, { 'error lua: state machine: oops' })
    test.equal(trace_of(owner), ({ enter = 'leave a, fail b, leave b, finish b',
      leave = 'fail a, finish a', finish = 'leave a, enter b, leave b' })[event])
    test.equal(instance.failed, true)
    test.equal(instance.finished, true)
  end
end

function tests.an_error_in_the_first_enter_fails_the_machine()
  host.forget()
  local instance, owner = start(function (w)
    noting(w, { aenter = true })
    w.a:on { event = w.events.enter, execute = function () error('oops', 0) end }
  end)
  test.same(host.logs, { 'error lua: state machine: oops' })
  test.equal(trace_of(owner), 'fail a, leave a, finish a')
  test.equal(instance.failed, true)
end

function tests.an_error_in_init_fails_the_machine()
  host.forget()
  local instance = start(function (w)
    w.a:on { event = w.events.init, execute = function () error('oops', 0) end }
  end)
  test.same(host.logs, { 'error lua: state machine: oops' })
  test.equal(instance.failed, true)
end

function tests.an_abort_in_a_callback_finishes_the_machine()
  host.forget()
  local instance, owner = start(function (w)
    noting(w, { benter = true })
    w.a:on { event = w.events.go, jump = w.b }
    w.b:on { event = w.events.enter, execute = function () error() end }
  end)
  owner.trace = {}
  instance:update('go')
  test.same(host.logs, {})
  test.equal(trace_of(owner), 'leave a, leave b, finish b')
  test.equal(instance.finished, true)
  test.equal(instance.failed, false)
end

function tests.a_callback_that_moves_the_machine_itself()
  local instance, owner = start(function (w)
    noting(w, { benter = true })
    w.a:on { event = w.events.go, jump = w.b }
    w.b:on { event = w.events.other, jump = w.c }
    w.b:on { event = w.events.timeout(5), jump = w.a }
    w.b:on { event = w.events.enter, execute = function (self) self.instance:trigger('other') end }
  end)
  owner.trace, owner.instance = {}, instance
  instance:update('go')
  test.equal(trace_of(owner), 'leave a, leave b, enter c')
  test.equal(instance.current, 'c')
  test.equal(running(), '')
end

function tests.an_action_that_finishes_the_machine_and_jumps()
  local instance, owner = start(function (w)
    w.a:on { event = w.events.go, execute = function (self) self.instance:finish() end, jump = w.b }
  end)
  owner.instance = instance
  instance:update('go')
  test.equal(instance.finished, true)
  test.equal(instance.current, nil)
end

function tests.members()
  local instance, owner = start(noting)
  test.equal(instance.owner, owner)
  test.equal(instance.states.initial, instance.states.a)
  test.equal(instance.states.b ~= nil and instance.states.fail ~= nil
    and instance.states.finish ~= nil, true)
  local made = machine(noting)
  test.raises_bare('state machine context required', made.instanciate, made)
end

-- Timeouts --------------------------------------------------------------------

function tests.timeouts_run_while_their_state_lasts()
  local instance, owner = start(function (w)
    w.a:on { event = w.events.timeout(5), execute = function (self)
      self.trace[#self.trace + 1] = 'tick'
    end }
    w.a:on { event = w.events.timeout(9), jump = w.b }
    w.b:on { event = w.events.timeout(1), jump = w.finish }
  end)
  test.equal(running(), '5 9')
  fire(5)
  fire(5)
  test.equal(trace_of(owner), 'tick, tick')
  test.equal(running(), '5 9')
  host.debug()
  host.forget()
  fire(9)
  test.equal(host.logs[1], "debug states: m: timeout trigger on state 'a'")
  test.equal(instance.current, 'b')
  test.equal(running(), '1')
  fire(1)
  test.equal(instance.finished, true)
  test.equal(running(), '')
end

-- Also those of one time, and those of `any`.
function tests.timeouts_are_tried_like_other_events()
  local taken
  local instance = start(function (w)
    w.a:on { event = w.events.timeout(5), when = function (self) return self.one end,
      execute = function () taken = 'one' end }
    w.a:on { event = w.events.timeout(5), when = function (self) return self.two end,
      execute = function () taken = 'two' end }
    w.any:on { event = w.events.timeout(5), execute = function () taken = 'any' end }
    w.any:on { event = w.events.timeout(7), execute = function () taken = 'seven' end }
  end)
  test.equal(running(), '5 7')
  fire(5)
  test.equal(taken, 'any')
  instance.owner.two = true
  fire(5)
  test.equal(taken, 'two')
  fire(7)
  test.equal(taken, 'seven')
end

function tests.a_timeout_that_fails()
  host.forget()
  local instance, owner = start(function (w)
    noting(w)
    w.a:on { event = w.events.timeout(5), execute = function () error('late', 0) end }
  end)
  owner.trace = {}
  fire(5)
  test.same(host.logs, { 'error lua: state machine: late' })
  test.equal(trace_of(owner), 'fail a, leave a, finish a')
  test.equal(running(), '')
  test.equal(instance.failed, true)
end

function tests.too_many_timers_fail_the_machine()
  host.forget()
  timers.full = true
  local instance = start(function (w)
    w.a:on { event = w.events.timeout(5), jump = w.b }
  end)
  timers.full = false
  test.same(host.logs, { 'error lua: state machine: too many timers' })
  test.equal(instance.failed, true)
end

-- A rule that is stopped in a callback leaves a machine that has failed.
function tests.a_callback_that_is_stopped()
  local instance, owner = start(function (w)
    w.a:on { event = w.events.timeout(5), jump = w.b }
    w.a:on { event = w.events.go, jump = w.b }
    w.b:on { event = w.events.enter, execute = function ()
      lib.state_instance.interrupted()
    end }
  end)
  owner.instance = instance
  instance:update('go')
  test.equal(instance.failed, true)
  test.equal(instance.finished, true)
  test.equal(running(), '')
end

-- Bidirectional states --------------------------------------------------------

lib.grammar = { is_entity = function (value) return type(value) == 'table' and value.parse ~= nil end }

-- A grammar that takes what it is given.
local function entity(err)
  return { parse = function (_, iter, user) return { iter = iter, user = user }, err end }
end

function tests.bidirectional()
  local got = {}
  local function note(name)
    return function (_, ...) got[#got + 1] = { name, ... } end
  end
  local made = machines.new('m', function ()
    state_type(BidirectionalState)
    a = state(entity(), nil)
    b = state(nil, entity('bad'))
    a:on { event = events.up, execute = note('up'), jump = b }
    any:on { event = events.down, execute = note('down') }
    any:on { event = events.missing_grammar, execute = note('missing') }
    any:on { event = events.parse_error, execute = note('error'), jump = fail }
    initial(a)
  end)
  local owner = {}
  local instance = made:instanciate(owner)
  instance:update('i1', 'down', 'x')
  instance:update('i2', 'up', 'y')
  instance:update('i3', 'down', 'z')
  test.same(got[1], { 'missing', 'down', 'i1', 'x' })
  test.equal(got[2][1], 'up')
  test.equal(got[2][2].iter, 'i2')
  test.equal(got[2][2].user, owner)
  test.equal(got[2][3], 'y')
  test.same(got[3], { 'error', 'bad', 'z' })
  test.equal(instance.failed, true)
end

function tests.bidirectional_states_take_elements_only()
  test.raises('bidirectionnal state expect an exported element of a grammar', machines.new, 'm',
    function ()
      state_type(BidirectionalState)
      a = state({}, nil)
    end)
end

-- Graphs ----------------------------------------------------------------------

function tests.graphs()
  local files = {}
  host.write_graph = function (name, text) files[name] = text end
  machines.debug = true
  host.forget()
  machine(function (w)
    w.a:on { event = w.events.other, jump = w.fail }
    w.b:on { event = w.events.timeout(2.5), jump = w.finish }
  end)
  machines.debug = false
  test.same(host.logs, { "warn states: dumping 'm' state_machine graph to m-state-machine.dot" })
  local text = files['m-state-machine.dot']
  for _, line in ipairs { 'digraph "m" {', '"a" -> "fail" [label="other"];',
    '"b" -> "finish" [label="timeout(2.5)"];', '"a" -> "c" [label="go"];' } do
    if not text:find(line, 1, true) then error('no ' .. line .. ' in\n' .. text) end
  end
end

return tests
