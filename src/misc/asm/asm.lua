-- `require('misc/asm')`: machine code, one instruction after the other.
--
-- Code is a string, an iterator or a blocking iterator. Of a string the first
-- instruction is taken; an iterator moves behind what was taken. On a
-- blocking iterator an instruction may lie in several packets: the bytes that
-- came are kept here, for they may have left the stream when the next ones
-- come. Waiting is the iterator's, in Lua; no native code lies below it.

local host, lib = ...

local native, write = host.misc.asm, host.write
local is_iterator = lib.bufobject.is_iterator
local type, error, tostring, tonumber = type, error, tostring, tonumber
local setmetatable, getmetatable, pairs = setmetatable, getmetatable, pairs
local format, sub, gsub, byte = string.format, string.sub, string.gsub, string.byte
local floor, huge = math.floor, math.huge

if not native.decode then
  return function ()
    error("misc/asm: this program was built without a disassembler; "
      .. "build it with the cargo feature 'disassembler'", 0)
  end
end

-- The longest instruction of each architecture, in bytes, and what is skipped
-- where there is none.
local LONGEST = { x86 = 15, sysz = 6 }
local SKIPPED = { x86 = 1 }
local WORD = 4

local BAD = '(bad)'

-- Objects ----------------------------------------------------------------------

-- What objects stand for lies here, where rules cannot change it.
local instructions = setmetatable({}, { __mode = 'k' })
local disassemblers = setmetatable({}, { __mode = 'k' })

local function kind(name, methods, fields)
  return {
    __name = name, __metatable = name,
    __index = function (self, key)
      local method = methods[key]
      if method then return method end
      local field = fields[key]
      if field then return field(self) end
      error(format("unknown field '%s'", tostring(key)), 2)
    end,
    __newindex = function (_, key)
      if methods[key] or fields[key] then error('This variable is immutable', 2) end
      error(format("unknown field '%s'", tostring(key)), 2)
    end,
    __tostring = function () return name end,
  }
end

-- Instructions -------------------------------------------------------------------

local instruction, instruction_fields = {}, {}
local Instruction = kind('asm_instruction', instruction, instruction_fields)
lib.pprint.register_named('asm_instruction', { 'address', 'id', 'size' })

local function instruction_of(self)
  local own = instructions[self]
  if not own then error('invalid instruction', 3) end
  return own
end

function instruction_fields.id(self) return instruction_of(self).id end
function instruction_fields.address(self) return instruction_of(self).address end
function instruction_fields.size(self) return #instruction_of(self).bytes end
function instruction.mnemonic(self) return instruction_of(self).mnemonic end
function instruction.op_str(self) return instruction_of(self).operands end
function instruction.bytes(self) return instruction_of(self).bytes end

local function hexadecimal(c) return format('%02x ', byte(c)) end

local function line(own)
  return format('\t0x%08x %-8s %-32s %s\n', own.address, own.mnemonic, own.operands,
    sub(gsub(own.bytes, '.', hexadecimal), 1, -2))
end

function instruction.pprint(self) write(line(instruction_of(self))) end

-- `address` is that of the first instruction put into it.
local function new_own(address)
  return { id = 0, address = address, next = address, mnemonic = '', operands = '', bytes = '' }
end

local function new_instruction(address)
  if address == nil then address = 0 end
  local number = tonumber(address)
  if not number or number < 0 or number > 2 ^ 53 then
    error("Error in new_instruction (arg 1), expected an address from 0 to 2^53", 2)
  end
  local self = setmetatable({}, Instruction)
  instructions[self] = new_own(floor(number))
  return self
end

-- Decoding -----------------------------------------------------------------------

-- The instruction at the start of `bytes`, which are not empty: its fields and
-- true, or false if they are none.
local function decode(asm, bytes, own)
  local id, size, mnemonic, operands =
    native.decode(asm.arch, asm.mode, asm.att, bytes, own.next)
  if not id or size == 0 then return false end
  own.id, own.mnemonic, own.operands = id, mnemonic, operands
  own.bytes = sub(bytes, 1, size)
  return true
end

local function bad(asm, bytes, own)
  own.id, own.mnemonic, own.operands = 0, BAD, ''
  own.bytes = sub(bytes, 1, asm.skipped)
end

local function advance(own)
  own.address, own.next = own.next, own.next + #own.bytes
end

local function decode_or_skip(asm, bytes, own)
  if not decode(asm, bytes, own) then bad(asm, bytes, own) end
  advance(own)
end

-- Up to `count` bytes at an iterator that are there, without moving it.
local function peek(iterator, count)
  local view = iterator:copy():sub(count)
  return view and view:asstring() or ''
end

local function from_iterator(asm, iterator, own)
  local bytes = peek(iterator, asm.longest)
  if bytes == '' then return false end
  decode_or_skip(asm, bytes, own)
  iterator:advance(#own.bytes)
  return true
end

-- Bytes before a blocking iterator that it has passed and that belong to no
-- instruction yet, and where the iterator was then.
local rests = setmetatable({}, { __mode = 'k' })

local function take_rest(iterator)
  local rest = rests[iterator]
  rests[iterator] = nil
  -- A rule that moved the iterator goes on from there.
  return rest and rest.meter == iterator.meter and rest.bytes or ''
end

local function keep_rest(iterator, bytes)
  if bytes ~= '' then rests[iterator] = { bytes = bytes, meter = iterator.meter } end
end

-- Collects bytes until they are an instruction, or cannot become one.
local function from_blocking(asm, iterator, own)
  local bytes = take_rest(iterator)
  local passed = #bytes
  local found = bytes ~= '' and decode(asm, bytes, own)
  while not found and #bytes < asm.longest do
    if not iterator:wait() then break end
    bytes = bytes .. peek(iterator, asm.longest - #bytes)
    found = decode(asm, bytes, own)
    if not found then
      iterator:advance(#bytes - passed)
      passed = #bytes
    end
  end
  if bytes == '' then return false end
  if not found then bad(asm, bytes, own) end
  advance(own)
  local size = #own.bytes
  if size > passed then
    iterator:advance(size - passed)
  else
    keep_rest(iterator, sub(bytes, size + 1, passed))
  end
  return true
end

local function step(asm, code, own)
  if type(code) == 'string' then
    if code == '' then return false end
    decode_or_skip(asm, code, own)
    return true
  elseif getmetatable(code) == 'vbuffer_iterator_blocking' then
    return from_blocking(asm, code, own)
  end
  return from_iterator(asm, code, own)
end

-- Disassemblers --------------------------------------------------------------------

local disassembler = {}
local Disassembler = kind('asm_handle', disassembler, {})

local function disassembler_of(self)
  local asm = disassemblers[self]
  if not asm then error('invalid disassembler', 3) end
  return asm
end

local function check_code(code)
  if type(code) ~= 'string' and not is_iterator(code) then error('invalid iterator', 3) end
end

function disassembler.setsyntax(self, syntax)
  local asm = disassembler_of(self)
  if syntax ~= 'intel' and syntax ~= 'att' then error('unknown syntax', 2) end
  asm.att = syntax == 'att'
end

-- Puts the next instruction into `inst`; false where the code ends.
function disassembler.disassemble(self, code, inst)
  local asm = disassembler_of(self)
  check_code(code)
  local own = instructions[inst or false]
  if not own then error('invalid instruction', 2) end
  local found = step(asm, code, own)
  return found
end

-- Prints `count` instructions, or all.
function disassembler.dump_instructions(self, code, count)
  local asm = disassembler_of(self)
  check_code(code)
  local left = count == nil and huge or tonumber(count)
  if not left then
    error(format("Error in dump_instructions (arg 3), expected 'int' got '%s'", type(count)), 2)
  end
  local own, at = new_own(0), 1
  while left > 0 do
    left = left - 1
    local rest = type(code) == 'string' and sub(code, at, at + asm.longest - 1) or code
    if not step(asm, rest, own) then return end
    at = at + #own.bytes
    write(line(own))
  end
end

local function new_disassembler(arch, mode)
  if type(mode) == 'number' then mode = tostring(mode) end
  if type(arch) ~= 'string' then error('unsupported hardware architecture', 2) end
  if type(mode) ~= 'string' then error('unsupported hardware mode', 2) end
  local problem = native.check(arch, mode)
  if problem then error(problem, 2) end
  local self = setmetatable({}, Disassembler)
  disassemblers[self] = {
    arch = arch, mode = mode, att = false,
    longest = LONGEST[arch] or WORD,
    skipped = mode == 'thumb' and 2 or SKIPPED[arch] or WORD,
  }
  return self
end

return function ()
  local asm = { new_disassembler = new_disassembler, new_instruction = new_instruction }
  for name, number in pairs(native.constants) do asm[name] = number end
  return asm
end
