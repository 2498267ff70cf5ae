require('smtp')

haka.rule {
  on = haka.dissectors.smtp.events.mail_content,
  options = { streamed = true },
  eval = function (_, iter)
    local mail = {}
    for part in iter:foreach_available() do mail[#mail + 1] = part:asstring() end
    print('mail of ' .. #mail .. ' parts:')
    print(table.concat(mail))
  end,
}
