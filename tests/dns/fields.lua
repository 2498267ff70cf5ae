-- What each type of record tells besides its common fields.

require('protocol/dns')

local function show(record)
  local fields = {}
  for _, key in ipairs { 'ip', 'target', 'priority', 'weight', 'port', 'parameters', 'pref',
    'mname', 'serial', 'text', 'rdata' } do
    if record[key] ~= nil then fields[#fields + 1] = key .. '=' .. tostring(record[key]) end
  end
  haka.log('%s %s %d %s', record.owner, record.type, record.ttl, table.concat(fields, ' '))
end

haka.rule {
  on = haka.dissectors.dns.events.response,
  eval = function (dns, response, query)
    local question = response.question
    haka.log('%s %s %s', question and question.name or '-', response.rcode,
      query and query.id or 'no query')
    for _, section in ipairs { response.answer, response.authority, response.additional } do
      for _, record in ipairs(section) do show(record) end
    end
  end
}
