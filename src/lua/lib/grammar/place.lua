-- Errors of grammar definitions: raised at the rule file's line.

local host = ...

local error, getinfo, sub, format = error, debug.getinfo, string.sub, string.format

local PREFIX = host.chunk_prefix or '=[wero]'

local place = {}

-- The line that called into the library, as error messages begin with it.
function place.caller()
  local level = 2
  while true do
    local info = getinfo(level, 'Sl')
    if not info then return '' end
    if info.what ~= 'C' and info.currentline > 0 and sub(info.source, 1, #PREFIX) ~= PREFIX then
      return format('%s:%d: ', info.short_src, info.currentline)
    end
    level = level + 1
  end
end

function place.refuse(message)
  error(place.caller() .. message, 0)
end

return place
