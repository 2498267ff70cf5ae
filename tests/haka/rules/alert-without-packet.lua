haka.alert { description = 'while the rules load' }

haka.rule {
  on = haka.events.started,
  eval = function ()
    haka.alert { description = 'started' }
    error('no packet yet', 0)
  end,
}

haka.rule {
  on = haka.events.exiting,
  eval = function () haka.alert { description = 'exiting' } end,
}
