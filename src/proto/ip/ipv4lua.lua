-- `require('protocol/ipv4lua')`: the IPv4 header as a grammar.
--
-- Takes the engine's dissector's place for every packet, and shows what that
-- one leaves in the bytes: the options. Fragments stay single, and nothing is
-- dissected above it unless a policy of the rules chooses a dissector.

local _, lib = ...

local address = lib.address
local error, type, pairs, ipairs, rawget, rawset = error, type, pairs, ipairs, rawget, rawset
local ceil, max, format = math.ceil, math.max, string.format
local is_address, new_address = address.is, address.ipv4.addr

local FIXED = 20
local END_OF_OPTIONS, NO_OPERATION = 0, 1

-- Values ------------------------------------------------------------------------

local as_address = {
  get = new_address,
  set = function (value)
    if not is_address(value) or value.family ~= 4 then
      error(format("Error in address (arg 2), expected 'addr' got '%s'", type(value)), 0)
    end
    return value.packed
  end,
}

local function has_data(option)
  return option.type ~= END_OF_OPTIONS and option.type ~= NO_OPERATION
end

-- Bytes that an option takes, parsed or as an init table states it.
local function size_of(option)
  local data = option.data
  if data ~= nil then return 2 + #data end
  return option.len or 1
end

local function options_size(options)
  local size = 0
  for _, option in ipairs(options or {}) do size = size + size_of(option) end
  return size
end

local function whole_words(size)
  return ceil(size / 4) * 4
end

-- What is computed when rules write nil -------------------------------------------

-- The padding follows the options, that the header ends with a word.
local function compute_hdr_len(self)
  local size = FIXED + options_size(self.opt)
  local padding, wanted = rawget(self, '_padding'), whole_words(size) - size
  if padding and #padding ~= wanted then
    padding:replace(lib.haka.vbuffer_allocate(wanted))
  end
  self.hdr_len = size + wanted
end

-- Bytes behind the datagram are the link layer's.
local function compute_len(self)
  self.len = #rawget(self, '_payload') - (rawget(self, '_trailer') or 0)
end

local function header_of(self)
  return rawget(self, '_payload'):sub(0, self.hdr_len)
end

-- The other two come first: reading them computes them.
local function compute_checksum(self)
  local _ = self.len
  self.checksum = 0
  self.checksum = lib.checksum.compute(header_of(self))
end

-- The grammar ---------------------------------------------------------------------

local function fits(self, ctx)
  if self.hdr_len < FIXED then
    ctx:error('invalid ipv4 header size, expected %d bytes, got %d bytes', FIXED, self.hdr_len)
  end
end

-- Whoever ends the list early leaves the rest of the header as padding.
local function is_last(option, ctx)
  return ctx.iter.meter >= ctx:result(1).hdr_len
    or (option ~= nil and option.type == END_OF_OPTIONS)
end

local function filled(self, ctx)
  local ended = self.opt[#self.opt]
  local read = ctx.iter.meter
  if read > self.hdr_len or (read < self.hdr_len and ended.type ~= END_OF_OPTIONS) then
    ctx:error('invalid ipv4 header size, expected %d bytes, got %d bytes', self.hdr_len, read)
  end
end

local function data_size(option, ctx)
  if option.len < 2 then
    ctx:error('invalid ipv4 option, a length of %d bytes is too small', option.len)
    return 0
  end
  return option.len - 2
end

local function grammar()
  local G = lib.grammar.new('ipv4lua', function ()
    local mult = converter.mult -- luacheck: ignore
    option = record {
      union {
        field('type', number(8)),
        record { field('copy', number(1)), field('class', number(2)), field('number', number(5)) },
      },
      optional(record {
        field('len', number(8)):validate(function (self) self.len = 2 + #self.data end),
        field('data', bytes():count(data_size)),
      }, has_data),
    }

    header = record {
      field('version', number(4)),
      field('hdr_len', number(4):convert(mult(4)):validate(compute_hdr_len)),
      field('tos', number(8)),
      field('len', number(16):validate(compute_len)),
      field('id', number(16)),
      field('flags', union {
        field('all', number(3)),
        record { field('rb', flag), field('df', flag), field('mf', flag) },
      }),
      field('frag_offset', number(13):convert(mult(8))),
      field('ttl', number(8)),
      field('proto', number(8)),
      field('checksum', number(16):validate(compute_checksum)),
      field('src', number(32):convert(as_address)),
      field('dst', number(32):convert(as_address)),
      execute(fits),
      field('opt', array(option):untilcond(is_last)),
      execute(filled),
      field('_padding', bytes():count(function (self, ctx)
        return max(self.hdr_len - ctx.iter.meter, 0)
      end)),
      field('payload', bytes():count(function (self) return max(self.len - self.hdr_len, 0) end)),
    }

    export(header)
  end)
  return G
end

-- The dissector -------------------------------------------------------------------

local function copy_of(table)
  local copy = {}
  for key, value in pairs(table or {}) do copy[key] = value end
  return copy
end

-- The init table with the sizes that follow from it.
local function complete(init, carried)
  local full, options = copy_of(init), {}
  for i, option in ipairs(full.opt or {}) do
    options[i] = copy_of(option)
    if option.data ~= nil then options[i].len = size_of(option) end
  end
  local size = whole_words(FIXED + options_size(options))
  full.opt = options
  full.version = full.version or 4
  full.hdr_len = full.hdr_len or size
  full.len = full.len or size + carried
  return full, size
end

local function define()
  local haka = lib.haka
  local Ipv4 = lib.dissector.new { type = haka.helper.PacketDissector, name = 'ipv4lua' }
  Ipv4.grammar = grammar()

  function Ipv4.method:parse_payload(parent, payload)
    lib.class.super(Ipv4).parse_payload(self, parent, payload)
    local data = rawget(self, 'payload')
    if data then rawset(self, '_trailer', max(#payload - self.hdr_len - #data, 0)) end
  end

  function Ipv4.method:create(parent, init)
    local full, size = complete(init, #parent.payload)
    lib.class.super(Ipv4).create(self, parent, full, size)
  end

  function Ipv4.method:verify_checksum()
    return lib.checksum.compute(header_of(self)) == 0
  end

  Ipv4.method.compute_checksum = compute_checksum

  function Ipv4.method:install_criterion()
    return { proto = self.proto }
  end

  -- What did not parse leaves as it is.
  function Ipv4.method:forge_payload(_, payload)
    if rawget(self, 'payload') == nil then return end
    if payload.modified then
      if self.hdr_len ~= whole_words(FIXED + options_size(self.opt)) then self.hdr_len = nil end
      self.len, self.checksum = nil, nil
    end
    self:validate()
  end
  return Ipv4
end

return function ()
  define()
  local packet = rawget(lib.dissector.dissectors, 'packet')
  lib.policy {
    on = packet.policies.next_dissector, name = 'ipv4', proto = 'ipv4',
    action = rawget(lib.dissector.dissectors, 'ipv4lua').install,
  }
  return true
end
