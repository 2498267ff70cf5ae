require('smtp')

local shown = { hide = { debug.hide_underscore, debug.hide_function } }

for _, event in ipairs { 'command', 'response' } do
  haka.rule {
    on = haka.dissectors.smtp.events[event],
    eval = function (_, message) debug.pprint(message, shown) end,
  }
end
