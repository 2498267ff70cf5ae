-- rules.md 2.3, 2.4, 8.4 and the console lists of 1.9.

local host, lib, test = ...
local Event = haka.event.Event

local function fire(event, ...)
  return haka.context:signal('me', event, ...)
end

return {
  ['errors of haka.rule, in order, at the rule'] = function ()
    local event = Event:new('e')
    test.raises_here('rule parameter must be a table', function () haka.rule(nil) end)
    test.raises_here('no event defined for rule', function () haka.rule{} end)
    test.raises_here('rule must bind on an event', function () haka.rule{ on = {} } end)
    test.raises_here('rule eval function expected', function () haka.rule{ on = event } end)
    test.raises_here('rule options should be table',
      function () haka.rule{ on = event, eval = print, options = 1 } end)
    test.equal(#lib.rule.rules, 0)
  end,

  ['a rule keeps its place and is listed'] = function ()
    local event = Event:new('e')
    local rule = { on = event, name = 'mine', eval = function () end }
    test.equal(select('#', haka.rule(rule)), 0)
    test.equal(rule.type, 'simple')
    test.equal(rule.location:match('^tests/lua/rule%.lua:%d+$') ~= nil, true)
    test.equal(lib.rule.rules[1], rule)
    test.same(haka.console.rules(),
      { { name = 'mine', event = 'e', location = rule.location, type = 'simple' } })
  end,

  ['hook is taken with a warning'] = function ()
    local event, called = Event:new('e'), false
    host.forget()
    haka.rule{ hook = event, eval = function () called = true end }
    fire(event)
    test.equal(called, true)
    test.equal(host.logs[1]:gsub(':%d+', ':N'), "warn core: rule at tests/lua/rule.lua:N uses 'hook' "
      .. "keyword which is deprecated and should be replaced by 'on'")
    host.forget()
    haka.rule_group{ hook = event }
    test.equal(host.logs[1]:match('^warn core: rule groupe at ') ~= nil, true)
  end,

  ['errors of haka.rule_group'] = function ()
    local event = Event:new('e')
    local function check(message, definition)
      test.raises_here(message, function () haka.rule_group(definition) end)
    end
    check('rule parameter must be a table', nil)
    check('no event defined for rule group', {})
    check('rule must bind on an event', { on = 1 })
    check('rule group init function expected', { on = event, init = 1 })
    check('rule group continue function expected', { on = event, continue = 1 })
    check('rule group final function expected', { on = event, final = 1 })
    check('rule group options should be table', { on = event, options = 1 })
    local group = haka.rule_group{ on = event }
    test.raises_here('rule parameter must be a table', function () group:rule() end)
    test.raises_here('rule eval function expected', function () group:rule{} end)
  end,

  ['a group runs init, its rules, final'] = function ()
    local event, seen = Event:new('e'), {}
    local group = haka.rule_group{
      on = event,
      init = function (who) seen[#seen + 1] = 'init ' .. who end,
      continue = function (ret, who, x) seen[#seen + 1] = ret .. who .. x return true end,
      final = function () seen[#seen + 1] = 'final' end,
    }
    group:rule{ eval = function () return 'a' end }
    group:rule{ eval = function () return 'b' end }
    fire(event, 1)
    test.same(seen, { 'init me', 'ame1', 'bme1', 'final' })
  end,

  ['a refusing continue leaves the group, not the event'] = function ()
    local event, seen = Event:new('e'), {}
    local group = haka.rule_group{
      on = event,
      continue = function (ret) return ret end,
      final = function () seen[#seen + 1] = 'final' end,
    }
    group:rule{ eval = function () seen[#seen + 1] = 'one' return false end }
    group:rule{ eval = function () seen[#seen + 1] = 'two' end }
    haka.rule{ on = event, eval = function () seen[#seen + 1] = 'after' end }
    fire(event)
    test.same(seen, { 'one', 'after' })
  end,

  ['the default continue goes on whatever a rule returns'] = function ()
    local event, count = Event:new('e'), 0
    local group = haka.rule_group{ on = event }
    for _ = 1, 2 do group:rule{ eval = function () count = count + 1 return false end } end
    fire(event)
    test.equal(count, 2)
  end,

  ['the event is checked after each rule of a group, not after init'] = function ()
    local alive, seen = true, {}
    local event = Event:new('e', function () if not alive then haka.abort() end end)
    local group = haka.rule_group{
      on = event,
      init = function () alive = false end,
      final = function () seen[#seen + 1] = 'final' end,
    }
    group:rule{ eval = function () seen[#seen + 1] = 'one' end }
    group:rule{ eval = function () seen[#seen + 1] = 'two' end }
    test.equal(pcall(fire, event), false)
    test.same(seen, { 'one' })
  end,

  ['a group keeps its place in the list'] = function ()
    local event, seen = Event:new('e'), {}
    local group = haka.rule_group{ on = event, name = 'g' }
    haka.rule{ on = event, eval = function () seen[#seen + 1] = 'rule' end }
    group:rule{ eval = function () seen[#seen + 1] = 'group' end }
    fire(event)
    test.same(seen, { 'group', 'rule' })
    local row = haka.console.rules()[1]
    test.equal(row.type, 'group')
    test.equal(row.name, 'g')
    test.equal(row.location:match('rule%.lua:%d+$') ~= nil, true)
  end,

  ['summary: with rules'] = function ()
    local a, b = Event:new('a'), Event:new('b')
    haka.rule{ on = a, eval = print }
    haka.rule_group{ on = b }
    haka.rule{ on = a, eval = print }
    host.forget()
    haka.rule_summary()
    test.same(host.logs, {
      "info core: 2 rule(s) on event 'a'",
      "info core: 1 rule(s) on event 'b'",
      'info core: 3 rule(s) registered\n',
    })
    test.same(haka.console.events(), { { event = 'a', listener = 2 }, { event = 'b', listener = 1 } })
  end,

  ['summary: without'] = function ()
    haka.context.connections:listeners(Event:new('asked for only'))
    host.forget()
    haka.rule_summary()
    test.same(host.logs, { 'warn core: no registered rule\n' })
  end,

  ['haka.on_exit is a rule on exiting (Q4)'] = function ()
    local called = false
    haka.on_exit(function () called = true end)
    haka.context:signal(nil, haka.events.exiting)
    test.equal(called, true)
    test.equal(lib.rule.rules[1].location:match('^tests/lua/rule%.lua:') ~= nil, true)
  end,

  ['overwritten globals do not reach the library'] = function ()
    local event, called = Event:new('e'), false
    local saved = { setmetatable, type, rawget, debug.getinfo, string.format, error, xpcall }
    setmetatable, type, rawget, error, xpcall = nil, nil, nil, nil, nil
    debug.getinfo, string.format = nil, nil
    haka.rule{ on = event, eval = function () called = true end }
    haka.context:exec(haka.context:newscope(), function () fire(event) end)
    setmetatable, type, rawget, debug.getinfo, string.format, error, xpcall = unpack(saved)
    test.equal(called, true)
  end,
}
