-- `require('misc/crypto')`: base64.

local host = ...

local native = host.misc.crypto
local type, error, format = type, error, string.format

local function checked(name, convert)
  return function (text)
    if type(text) == 'number' then text = text .. '' end
    if type(text) ~= 'string' then
      error(format("bad argument #1 to '%s' (string expected, got %s)", name, type(text)), 2)
    end
    local result, problem = convert(text)
    if not result then error(format('base64.%s: %s', name, problem), 2) end
    return result
  end
end

return function ()
  return {
    base64 = {
      encode = checked('encode', native.encode),
      decode = checked('decode', native.decode),
    },
  }
end
