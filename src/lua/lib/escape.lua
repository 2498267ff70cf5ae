-- Whether a function lets go of an argument, or only reads fields of it.
--
-- Read from the function's bytecode (lj_bc.h of LuaJIT 2.1): arguments keep
-- their registers for as long as the function runs, a constant field of one is
-- read by TGETS alone, and a call of a method begins with a MOV of the object
-- to where it is the first argument and a TGETS of the method to two registers
-- before that. Whatever else mentions the register counts as letting go, also
-- what would be harmless.

local util = require('jit.util')
local band, rshift = bit.band, bit.rshift
local getinfo = debug.getinfo

-- Modes of operands.
local NONE, DST, BASE, VAR, RBASE, LIT, STR, FUNC, JUMP = 0, 1, 2, 3, 4, 6, 10, 12, 13
-- The modes of TGETS together, and the number of MOV, from a function that has
-- one.
local TGETS = DST + VAR * 8 + STR * 128
local MOV = band(util.funcbc(function (own) local copy = own return copy, own end, 1), 255)

local escape = {}

-- The field that an instruction reads of the register, and where it puts it.
local function field_of(fn, register, at)
  local instruction, mode = util.funcbc(fn, at)
  if not instruction or band(mode, 2047) ~= TGETS then return nil end
  if rshift(instruction, 24) ~= register then return nil end
  return util.funck(fn, -band(rshift(instruction, 16), 255) - 1), band(rshift(instruction, 8), 255)
end

-- Whether the instruction at a place lets the register go.
local function lets_go(fn, register, safe, at, instruction, mode)
  local ma, mb, mc = band(mode, 7), band(rshift(mode, 3), 15), band(rshift(mode, 7), 15)
  local a, d = band(rshift(instruction, 8), 255), rshift(instruction, 16)
  local b = mb ~= NONE and rshift(d, 8)
  if b then d = band(d, 255) end
  -- A function made in here may share the variable.
  if mc == FUNC then return true end
  local field = field_of(fn, register, at)
  if field then return a == register or not safe[field] end
  if band(instruction, 255) == MOV and d == register then
    local method, to = field_of(fn, register, at + 1)
    return not (method and safe[method] and to == a - 2)
  end
  if (ma == DST or ma == VAR) and a == register or mb == VAR and b == register
    or mc == VAR and d == register then
    return true
  end
  if mb == RBASE and b <= register then return true end
  -- The first of several: all that is returned, or as many as there are.
  if ma == RBASE and mc == LIT and mb == NONE then
    return a <= register and register < a + d - 1
  end
  return (ma == BASE or ma == RBASE) and mc ~= JUMP and a <= register
end

-- `place` is the argument's, from 1; `safe` a set of the names of fields that
-- may be read, and of methods that may be called, since they lead nowhere.
function escape.escapes(fn, place, safe)
  local info = getinfo(fn, 'u')
  -- Functions that are not of Lua take any number, too, and say nothing.
  if info.isvararg then return true end
  if info.nparams < place then return false end
  local at = 1
  local instruction, mode = util.funcbc(fn, at)
  while instruction do
    if lets_go(fn, place - 1, safe, at, instruction, mode) then return true end
    at = at + 1
    instruction, mode = util.funcbc(fn, at)
  end
  return false
end

return escape
