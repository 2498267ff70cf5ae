-- FTP as rules see it: commands, replies, the data connections to come.

local _, lib = ...

local application, dialogue = lib.application, lib.dialogue
local addr, tonumber = lib.address.ip.addr, tonumber

-- Where a data connection is expected; `mode` is 'active' or 'passive'.
local function data_flow(_, mode, ip, port)
  return { mode = mode, ip = addr(ip), port = tonumber(port) }
end

return function ()
  local kind = dialogue.kind('ftp')
  application.announce(kind, { forms = {
    command = dialogue.message_form(kind, 'command'),
    response = dialogue.message_form(kind, 'response'),
    data_flow = dialogue.facts_form(kind, data_flow),
    anomaly = dialogue.anomaly_form(kind),
  } })
  return true
end
