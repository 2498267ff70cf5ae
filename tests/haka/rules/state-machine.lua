-- A machine that takes every kind of jump, driven by the first two packets
-- and then by the packets' time alone.

local machine = haka.state_machine.new('transitions', function ()
  state_type {
    events = { 'received' },
    update = function (self, instance, packet) instance:trigger('received', packet) end,
  }

  state1 = state()
  state2 = state()
  state3 = state()
  state4 = state()

  local function say(of, event, text)
    of:on { event = event, execute = function () print(text) end }
  end

  say(state1, events.enter, 'enter state1')
  say(state1, events.init, 'initialize state1')
  say(state1, events.leave, 'leave state1')
  state1:on { event = events.received, jump = state4, execute = function (self, packet)
    print(string.format('%d state1 received packet %d', self.count, packet.id))
    self.count = self.count + 1
  end }
  state1:on { event = events.timeout(0.002), when = function (self) return self.left > 1 end,
    execute = function (self)
      print('timeout from state1')
      self.left = self.left - 1
    end }
  state1:on { event = events.timeout(0.002), jump = state3,
    execute = function () print('timeout from state1') end }

  say(state4, events.enter, 'enter state4')
  say(state4, events.leave, 'leave state4')
  state4:on { event = events.received, jump = state1, execute = function (self, packet)
    print(string.format('%d state4 received packet %d', self.count, packet.id))
    self.count = self.count + 1
  end }

  say(state3, events.enter, 'enter state3')
  state3:on { event = events.timeout(0.001), jump = state1, execute = function ()
    print('timeout from state3')
    print('go to state1')
  end }
  state3:on { event = events.leave, jump = state2, execute = function () print('leave state3') end }

  state2:on { event = events.enter, jump = fail, execute = function () print('enter state2') end }
  say(state2, events.fail, 'fail on state2')
  say(state2, events.leave, 'leave state2')
  any:on { event = events.finish, execute = function (self) print('finished ' .. self.name) end }

  initial(state1)
end)

local owner = { name = 'hello', count = 0, left = 6 }
local instance

haka.rule {
  on = haka.dissectors.packet.events.receive_packet,
  eval = function (packet)
    instance = instance or machine:instanciate(owner)
    if owner.count < 2 then instance:update(packet) end
  end,
}

haka.policy {
  on = haka.dissectors.packet.policies.next_dissector,
  name = 'let all pass',
  action = haka.policy.accept,
}
