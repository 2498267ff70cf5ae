-- Creation: writing the values of an init table while the bytes are parsed.
--
-- The bytes are usually zero. Each value is written as soon as its field is
-- known, so that counts and branches further on read what was written.

local _, lib = ...

local type, error, rawget, format = type, error, rawget, string.format
local field, vbuffer = lib['grammar/field'], lib.vbuffer

local create = {}

-- The init table of what is called `key`.
function create.nested(init, key)
  if init == nil then return nil end
  if type(init) ~= 'table' then
    error(format("invalid init value, expected a table around '%s'", key), 0)
  end
  return init[key]
end
local nested = create.nested

-- Fields that nobody gave and that somebody can compute wait for that.
local function missing(result, self)
  local pending = self.validator and rawget(result, '_validate')
  if pending then pending[self.validator] = result end
end

function create.number(ctx, result, self)
  local value = nested(ctx.current_init, self.name)
  if value == nil then return missing(result, self) end
  self.prop.set(result, value)
end

-- A part of the buffer takes the value's bytes and size.
function create.part(ctx, result, self, part)
  local value = nested(ctx.current_init, self.name)
  if value == nil then
    missing(result, self)
    return part
  end
  if self.kind == 'token' then return part end
  local set = self.converter and self.converter.set
  if set then value = set(value) end
  local meter = ctx.iter.meter - #part
  field.store_bytes(part, value)
  ctx.iter:move_to(part:pos('end'))
  ctx.iter.meter = meter + #part
  return part
end

-- The text of a token goes in front of what is there.
function create.token(ctx, self)
  local value = nested(ctx.current_init, self.name)
  if value == nil then return nil end
  local set = self.converter and self.converter.set
  if set then value = set(value) end
  local text = vbuffer.vbuffer_from(field.token_text(self, value))
  local count = #text
  local part = ctx.iter:insert(text)
  ctx.iter.meter = ctx.iter.meter + count
  return part
end

return create
