-- Shows SMTP conversations and stops mail that advertises.

require('smtp')
local pcre = require('regexp/pcre').re

local smtp = haka.dissectors.smtp

haka.rule {
  on = smtp.events.command,
  eval = function (flow, command)
    haka.log('client %s: %s %s', flow.srcip, command.name, command.argument)
  end,
}

haka.rule {
  on = smtp.events.response,
  eval = function (flow, response)
    for i = 1, #response.lines do
      local line = response.lines[i]
      haka.log('server %s: %s %s', flow.dstip, line.code, line.text)
    end
  end,
}

-- The whole mail, once all of it is there.
haka.rule {
  on = smtp.events.mail_content,
  options = { streamed = true },
  eval = function (flow, iter)
    local parts = {}
    for sub in iter:foreach_available() do parts[#parts + 1] = sub:asstring() end
    haka.log('mail of %d bytes:\n%s', #table.concat(parts), table.concat(parts))
  end,
}

local advertising = pcre:compile('free +money', pcre.CASE_INSENSITIVE)

-- Stops the mail before its end was seen: what came before has left already.
haka.rule {
  on = smtp.events.mail_content,
  options = { streamed = true },
  eval = function (flow, iter)
    if not advertising:match(iter) then return end
    haka.alert {
      severity = 'medium',
      description = 'mail that advertises',
      sources = haka.alert.address(flow.srcip),
      targets = { haka.alert.address(flow.dstip), haka.alert.service('smtp') },
    }
    flow:drop()
  end,
}
