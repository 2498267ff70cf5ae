-- Whether a function lets go of an argument, or only reads fields of it.
--
-- Read from the function's bytecode (lj_bc.h of LuaJIT 2.1): arguments keep
-- their registers for as long as the function runs, and a constant field of
-- one is read by TGETS alone. Whatever else mentions the register counts as
-- letting go, also what would be harmless.

local util = require('jit.util')
local band, rshift = bit.band, bit.rshift
local getinfo = debug.getinfo

-- Modes of operands.
local NONE, DST, BASE, VAR, RBASE, LIT, STR, FUNC, JUMP = 0, 1, 2, 3, 4, 6, 10, 12, 13

local escape = {}

-- Whether one instruction lets the register go.
local function mentions(fn, register, safe, instruction, mode)
  local ma, mb, mc = band(mode, 7), band(rshift(mode, 3), 15), band(rshift(mode, 7), 15)
  local a, d = band(rshift(instruction, 8), 255), rshift(instruction, 16)
  local b = mb ~= NONE and rshift(d, 8)
  if b then d = band(d, 255) end
  -- A function made in here may share the variable.
  if mc == FUNC then return true end
  if ma == DST and mb == VAR and mc == STR and b == register then
    return a == register or not safe[util.funck(fn, -d - 1)]
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
-- may be read, since they lead nowhere.
function escape.escapes(fn, place, safe)
  local info = getinfo(fn, 'u')
  if info.isvararg then return true end
  if info.nparams < place then return false end
  local at = 1
  local instruction, mode = util.funcbc(fn, at)
  -- What is not of Lua says nothing.
  if not instruction then return true end
  while instruction do
    if mentions(fn, place - 1, safe, instruction, mode) then return true end
    at = at + 1
    instruction, mode = util.funcbc(fn, at)
  end
  return false
end

return escape
