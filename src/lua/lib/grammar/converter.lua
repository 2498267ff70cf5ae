-- Converters: pairs of functions between what a field stores and what rules see.

local _, lib = ...

local error, tonumber, tostring, type = error, tonumber, tostring, type
local format = string.format
local refuse = lib['grammar/place'].refuse

local converter = {}

-- Numbers stored in units of `factor`.
function converter.mult(factor)
  if type(factor) ~= 'number' then refuse('invalid parameter 1, expected number') end
  return {
    get = function (value) return value * factor end,
    set = function (value)
      if value % factor ~= 0 then
        error(format('invalid value, it must be a multiple of %s', tostring(factor)), 0)
      end
      return value / factor
    end,
  }
end

converter.bool = {
  get = function (value) return value ~= 0 end,
  set = function (value) return value and value ~= 0 and 1 or 0 end,
}

-- Numbers written as text: `fmt` writes them, `base` reads them.
function converter.tonumber(fmt, base)
  return {
    get = function (value)
      if type(value) == 'table' then value = value:asstring() end
      return (tonumber(value, base))
    end,
    set = function (value) return (format(fmt, value)) end,
  }
end

converter.string = {
  get = function (value) return value:asstring() end,
  set = function (value) return value end,
}

return converter
