-- Shows records, and blots out the bodies of those of kind 2.

require('records')

local SECRET = 2

haka.rule {
  on = haka.dissectors.records.events.record,
  eval = function (flow, record, direction)
    haka.log('%s %s: kind %d, %d bytes', flow.srcip, direction, record.kind, record.length)
  end,
}

haka.rule {
  on = haka.dissectors.records.events.record,
  eval = function (flow, record)
    if record.kind ~= SECRET then return end
    record.body:replace(haka.vbuffer_from('***'))
    record.length = 3
  end,
}
