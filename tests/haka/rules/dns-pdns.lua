-- Passive DNS: an alert for every address that a name has.

require('protocol/ipv4')
require('protocol/dns')

local function tell(records)
  for _, a in ipairs(records) do
    if a.type == 'A' then
      haka.alert {
        description = string.format('%s is %s', a.name, a.ip),
        severity = 'low',
      }
    end
  end
end

haka.rule {
  on = haka.dissectors.dns.events.response,
  eval = function (_, response)
    tell(response.answer)
    tell(response.additional)
  end
}
