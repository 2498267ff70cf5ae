-- The same under a state machine of two states: who spoke last. Each change
-- of speaker is a transition, each arrival an event.

local tcp_connection = require('protocol/tcp_connection')

local Turns = haka.dissector.new { type = tcp_connection.helper.TcpFlowDissector, name = 'turns' }
local bytes, turns = 0, 0

Turns.state_machine = haka.state_machine.new('turns', function ()
    state_type {
        events = { 'up', 'down' },
        update = function (self, machine, iter, direction)
            machine:trigger(direction, #iter:sub('available'))
        end,
    }

    asked = state()
    answered = state()

    local function count(_, size) bytes = bytes + size end

    asked:on { event = events.up, execute = count }
    asked:on { event = events.down, execute = count, jump = answered }
    answered:on { event = events.down, execute = count }
    answered:on { event = events.up, execute = count, jump = asked }
    answered:on { event = events.enter, execute = function () turns = turns + 1 end }

    initial(asked)
end)

haka.policy {
    name = 'turns',
    on = haka.dissectors.tcp_connection.policies.next_dissector,
    action = haka.dissectors.turns.install,
}

haka.rule {
    on = haka.events.exiting,
    eval = function ()
        print(bytes .. ' bytes in ' .. turns .. ' turns')
        bytes, turns = 0, 0
    end,
}
