haka.rule {
  on = haka.events.started,
  eval = function () haka.log('started') end,
}

haka.rule {
  on = haka.events.exiting,
  eval = function () haka.log('exiting') end,
}
