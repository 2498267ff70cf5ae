require('smtp')
local re = require('regexp/pcre').re

local domain = re:compile('@[a-z%.-]+', re.CASE_INSENSITIVE)

haka.rule {
  on = haka.dissectors.smtp.events.command,
  eval = function (flow, message)
    if message.command:lower() ~= 'mail' then return end
    local found, first, last = domain:match(message.parameter)
    if found and message.parameter:sub(first + 2, last) == 'suspicious.example' then
      haka.alert { description = 'mail of ' .. found, severity = 'medium',
        sources = { haka.alert.address(flow.srcip) } }
    end
    flow:drop()
  end,
}
