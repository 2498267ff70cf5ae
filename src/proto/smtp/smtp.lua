-- SMTP as rules see it: commands, replies, mail.

local _, lib = ...

local application, dialogue = lib.application, lib.dialogue

return function ()
  local kind = dialogue.kind('smtp')
  application.announce(kind, { forms = {
    command = dialogue.message_form(kind, 'command'),
    response = dialogue.message_form(kind, 'response'),
    mail_content = dialogue.content_form(kind),
    anomaly = dialogue.anomaly_form(kind),
  } })
  return true
end
