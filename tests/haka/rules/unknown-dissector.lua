print(haka.dissectors.zz)
haka.rule {
  on = haka.events.started,
  eval = function () print(haka.dissectors.zz) end,
}
