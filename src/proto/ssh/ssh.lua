-- SSH as rules see it: the version that each side sends.

local _, lib = ...

local application, dialogue = lib.application, lib.dialogue
local first, part = dialogue.first, dialogue.part
local format, tostring = string.format, tostring

local version = part('^SSH%-([^-]*)%-')
local software = part('^SSH%-[^-]*%-([^ ]*)')
local comments = part('^SSH%-[^-]*%-[^ ]* (.*)$')

local function set(banner, new_version, new_software, new_comments)
  local line = format('SSH-%s-%s', tostring(new_version), tostring(new_software))
  if new_comments ~= nil then line = line .. ' ' .. tostring(new_comments) end
  dialogue.set_first(banner, line)
end

local Banner = dialogue.class('banner', {
  line = first, version = version, software = software, comments = comments,
  direction = function () return application.direction() end,
}, {
  line = dialogue.set_first,
  version = function (b, value) set(b, value, software(b), comments(b)) end,
  software = function (b, value) set(b, version(b), value, comments(b)) end,
  comments = function (b, value) set(b, version(b), software(b), value) end,
}, { 'version', 'software', 'comments' })

return function ()
  local kind = dialogue.kind('ssh')
  application.announce(kind, { forms = {
    banner = dialogue.message_form(kind, Banner),
    anomaly = dialogue.anomaly_form(kind),
  } })
  return true
end
