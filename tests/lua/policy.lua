-- rules.md section 3 and the tests policy-criteria and policy-learning of 9.5.

local host, lib, test = ...

-- Whether a policy with these criteria triggers for these values.
local function triggers(criteria, values)
  local on, hit = haka.policy.new('test'), false
  criteria.on = on
  criteria.action = function () hit = true end
  haka.policy(criteria)
  on:apply{ ctx = {}, values = values }
  return hit
end

local function learner(criteria)
  local on, hit = haka.policy.new('learner'), false
  criteria.on = on
  criteria.action = function () hit = true end
  haka.policy(criteria)
  return function (values)
    hit = false
    on:apply{ ctx = {}, values = values }
    return hit
  end
end

-- A stand-in for address objects: equal by content, ordered.
local Address = {}
Address.__eq = function (a, b) return a.n == b.n end
Address.__lt = function (a, b) return a.n < b.n end
Address.__le = function (a, b) return a.n <= b.n end
local function address(n) return setmetatable({ n = n }, Address) end

return {
  ['policy-criteria: range matches, bounds included'] = function ()
    for _, value in ipairs{ 10, 15, 20 } do
      test.equal(triggers({ port = haka.policy.range(10, 20) }, { port = value }), true)
    end
  end,
  ['policy-criteria: range does not match'] = function ()
    test.equal(triggers({ port = haka.policy.range(10, 20) }, { port = 21 }), false)
    test.equal(triggers({ port = haka.policy.range(10, 20) }, {}), false)
  end,
  ['policy-criteria: outofrange matches'] = function ()
    test.equal(triggers({ port = haka.policy.outofrange(10, 20) }, { port = 9 }), true)
  end,
  ['policy-criteria: outofrange does not match'] = function ()
    test.equal(triggers({ port = haka.policy.outofrange(10, 20) }, { port = 20 }), false)
    test.equal(triggers({ port = haka.policy.outofrange(10, 20) }, {}), false)
  end,
  ['policy-criteria: set matches'] = function ()
    test.equal(triggers({ port = haka.policy.set{ 10, 'http' } }, { port = 'http' }), true)
  end,
  ['policy-criteria: set does not match'] = function ()
    test.equal(triggers({ port = haka.policy.set{ 10, 20 } }, { port = 15 }), false)
    test.equal(triggers({ port = haka.policy.set{ 10, 20 } }, {}), false)
  end,
  ['policy-criteria: present'] = function ()
    test.equal(triggers({ port = haka.policy.present() }, { port = false }), true)
    test.equal(triggers({ port = haka.policy.present() }, {}), false)
  end,
  ['policy-criteria: absent matches'] = function ()
    test.equal(triggers({ port = haka.policy.absent() }, {}), true)
  end,
  ['policy-criteria: absent does not match'] = function ()
    test.equal(triggers({ port = haka.policy.absent() }, { port = false }), false)
  end,

  ['policy-learning: range learns 2, 5, 10'] = function ()
    local apply = learner{ port = haka.policy.learn(haka.policy.range) }
    test.equal(apply{ port = 2 }, false)
    haka.policy.learning = true
    for _, port in ipairs{ 2, 5, 10 } do test.equal(apply{ port = port }, true) end
    haka.policy.learning = false
    test.equal(apply{ port = 11 }, false)
    test.equal(apply{ port = 3 }, true)
    test.equal(apply{}, false)
  end,
  ['policy-learning: set learns 2, 5, 10'] = function ()
    local apply = learner{ port = haka.policy.learn(haka.policy.set) }
    haka.policy.learning = true
    for _, port in ipairs{ 2, 5, 10 } do apply{ port = port } end
    haka.policy.learning = false
    test.equal(apply{ port = 3 }, false)
    test.equal(apply{ port = 5 }, true)
  end,
  ['policy-learning: present cannot learn'] = function ()
    test.raises_here('cannot learn on haka.policy.present criterion',
      function () haka.policy.learn(haka.policy.present) end)
    test.raises_here('can only learn on haka.policy.Criterion',
      function () haka.policy.learn(haka.policy.set{}) end)
    test.raises_here('can only learn on haka.policy.Criterion', function () haka.policy.learn() end)
    for _, name in ipairs{ 'value', 'absent', 'outofrange' } do
      test.raises_here('cannot learn on haka.policy.' .. name .. ' criterion',
        function () haka.policy.learn(haka.policy[name]) end)
    end
  end,
  ['policy-learning: nothing is learnt when another criterion fails'] = function ()
    local apply = learner{ port = haka.policy.learn(haka.policy.set), proto = 'tcp' }
    haka.policy.learning = true
    test.equal(apply{ port = 80, proto = 'udp' }, false)
    test.equal(apply{ port = 81, proto = 'tcp' }, true)
    haka.policy.learning = false
    test.equal(apply{ port = 80, proto = 'tcp' }, false)
    test.equal(apply{ port = 81, proto = 'tcp' }, true)
  end,

  ['plain values and objects compare with =='] = function ()
    test.equal(triggers({ a = 'x' }, { a = 'x' }), true)
    test.equal(triggers({ a = 'x' }, {}), false)
    test.equal(triggers({ a = haka.policy.value(false) }, { a = false }), true)
    test.equal(triggers({ a = address(1) }, { a = address(1) }), true)
    test.equal(triggers({ a = address(1) }, { a = address(2) }), false)
  end,
  ['sets of objects match by == (Q8)'] = function ()
    local set = haka.policy.set{ address(1), address(2) }
    test.equal(triggers({ a = set }, { a = address(2) }), true)
    test.equal(triggers({ a = set }, { a = address(3) }), false)
  end,
  ['ranges of objects use their order'] = function ()
    local range = haka.policy.range(address(1), address(5))
    test.equal(triggers({ a = range }, { a = address(5) }), true)
    test.equal(triggers({ a = range }, { a = address(6) }), false)
  end,
  ['errors of ranges'] = function ()
    test.raises_here('invalid min', function () haka.policy.range() end)
    test.raises_here('invalid max', function () haka.policy.range(1) end)
    test.raises_here('invalid bounds', function () haka.policy.range(2, 1) end)
    test.raises_here('invalid bounds', function () haka.policy.outofrange(2, 1) end)
  end,
  ['criteria that can never match are reported (Q52)'] = function ()
    local on = haka.policy.new('p')
    test.raises_here("criterion 'port': haka.policy.present must be called", function ()
      haka.policy{ on = on, port = haka.policy.present, action = haka.policy.accept }
    end)
    test.raises_here("criterion 'port': a table never matches, use haka.policy.set", function ()
      haka.policy{ on = on, port = { 80 }, action = haka.policy.accept }
    end)
  end,

  ['own criteria publish a constructor and may learn'] = function ()
    local class = lib.class
    local Even = class.class('even', haka.policy.Criterion)
    function Even.method:init(wanted) self.wanted, self.seen = wanted, {} end
    function Even.method:compare(value) return self.seen[value] or value % 2 == self.wanted end
    function Even.method:learn(value) self.seen[value] = true end
    test.equal(triggers({ n = haka.policy.even(0) }, { n = 4 }), true)
    test.equal(triggers({ n = haka.policy.even(0) }, { n = 5 }), false)
    local apply = learner{ n = haka.policy.learn(haka.policy.even) }
    haka.policy.learning = true
    apply{ n = 5 }
    haka.policy.learning = false
    test.equal(apply{ n = 5 }, true)
    test.equal(apply{ n = 7 }, false)
    for _, name in ipairs{ 'even', 'set', 'learning', 'drop' } do
      test.raises_here('reserved name or already existing policy criterion',
        function () class.class(name, haka.policy.Criterion) end)
    end
    class.class('lazy', haka.policy.Criterion)
    test.raises('not implemented', triggers, { n = haka.policy.lazy() }, { n = 1 })
  end,

  ['the last eligible entry wins, an entry without criteria is a default'] = function ()
    local on, ran = haka.policy.new('p'), {}
    local function entry(name, port)
      haka.policy{ on = on, name = name, port = port, action = function () ran[#ran + 1] = name end }
    end
    entry('default')
    entry('web', 80)
    on:apply{ ctx = {}, values = { port = 80 } }
    on:apply{ ctx = {}, values = { port = 81 } }
    on:apply{ ctx = {} }
    test.same(ran, { 'web', 'default', 'default' })
  end,

  ['actions run in order with policy, ctx, values and desc; an error stops'] = function ()
    local on, got = haka.policy.new('p'), {}
    local ctx, values = {}, { a = 1 }
    haka.policy{ on = on, a = 1, action = {
      function (...) got = { ... } end,
      function () error('enough', 0) end,
      function () got = nil end,
    } }
    test.raises_bare('enough', function () on:apply{ ctx = ctx, values = values } end)
    test.equal(got[1] == on and got[2] == ctx and got[3] == values, true)
    test.same(got[4], {})
  end,

  ['logs of registration and evaluation'] = function ()
    local on = haka.policy.new('p')
    host.debug()
    host.forget()
    haka.policy{ on = on, name = 'first', port = 1, action = haka.policy.accept }
    haka.policy{ on = on, action = haka.policy.accept }
    haka.policy{ on = on, name = 'seen', port = haka.policy.learn(haka.policy.set),
      action = haka.policy.accept }
    on:apply{ ctx = {}, values = { port = 2 } }
    haka.policy.learning = true
    on:apply{ ctx = {}, values = { port = 1 } }
    test.same(host.logs, {
      "info core: register policy 'first' on 'p'",
      "info core: register policy '<unnamed>' on 'p'",
      "info core: register policy 'seen' on 'p'",
      'debug core: rejected policy first for p',
      'debug core: rejected policy seen for p',
      'debug core: applying policy <unnamed> for p',
      'debug core: learning policy seen for p',
      'debug core: applying policy seen for p',
    })
  end,

  ['missing values are an empty table (Q9)'] = function ()
    test.equal(triggers({ port = 80 }, nil), false)
    test.equal(triggers({ port = haka.policy.absent() }, nil), true)
  end,

  ['errors of haka.policy and apply'] = function ()
    local on = haka.policy.new('p')
    test.raises_here('policy parameter must be a table', function () haka.policy(1) end)
    test.raises_here('no on defined for policy', function () haka.policy{} end)
    test.raises_here('policy on must be a Policy', function () haka.policy{ on = {} } end)
    local action = 'policy action must be a function or a list of functions'
    test.raises_here(action, function () haka.policy{ on = on } end)
    test.raises_here(action, function () haka.policy{ on = on, action = { 1 } } end)
    test.raises_here('policy parameter must be a table', function () on:apply() end)
    test.raises_here('no context defined for policy', function () on:apply{} end)
    test.raises_here('values must be a table', function () on:apply{ ctx = 1, values = 1 } end)
    test.raises_here('desc must be a table', function () on:apply{ ctx = 1, desc = 1 } end)
  end,

  ['the argument loses on, name and action'] = function ()
    local definition = { on = haka.policy.new('p'), name = 'n', port = 80,
      action = haka.policy.accept }
    haka.policy(definition)
    test.same(definition, { port = 80 })
  end,

  ['the drop and log actions'] = function ()
    local on, dropped = haka.policy.new('p'), 0
    haka.policy{ on = on, action = {
      haka.policy.log(haka.log.warning, 'port %d', 80),
      haka.policy.drop,
    } }
    host.forget()
    on:apply{ ctx = { drop = function () dropped = dropped + 1 end } }
    test.equal(dropped, 1)
    test.same(host.logs, { 'warn external: port 80' })
  end,

  ['the alert action is completed from desc and the policy name'] = function ()
    local on = haka.policy.new('no way')
    haka.policy{ on = on, name = 'entry', action = haka.policy.alert{ severity = 'low' } }
    on:apply{ ctx = {}, desc = { severity = 'high', unknown = 1,
      sources = haka.alert.address('10.0.0.1') } }
    test.same(host.alerts[1].record, { severity = 'low', description = 'no way',
      sources = { { type = 'address', values = { '10.0.0.1' } } } })
    on:apply{ ctx = {}, desc = { description = 'why' } }
    test.equal(host.alerts[2].record.description, 'why')
    local bad = haka.policy.new('bad')
    haka.policy{ on = bad, action = haka.policy.alert{ severity = 'huge' } }
    test.raises_here("invalid severity value 'huge'", function () bad:apply{ ctx = {} } end)
  end,

  ['built-in entries and the callback of native policies'] = function ()
    local on = haka.policy.new('p')
    on._native = 3
    host.builtin = true
    on:insert('b', {}, haka.policy.accept)
    host.builtin = false
    test.equal(on:only_builtin(), true)
    on:insert('mine', {}, { haka.policy.accept })
    test.equal(on:only_builtin(), false)
    test.same(host.policies_changed, { 'p', 'p' })
    test.raises_here('policy action must be a function or a list of functions',
      function () on:insert('x', {}, nil) end)
  end,
}
