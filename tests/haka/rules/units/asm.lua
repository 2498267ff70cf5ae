-- Disassembly of strings, buffers and streams.

local asm = require('misc/asm')

TestAsm = {}

local function bytes(hex)
  return (hex:gsub('%s', ''):gsub('..', function (pair) return string.char(tonumber(pair, 16)) end))
end

local function check(inst, mnemonic, operands, size)
  local found = table.concat({ inst:mnemonic(), inst:op_str(), inst.size }, '|')
  local wanted = table.concat({ mnemonic, operands, size }, '|')
  if found ~= wanted then error('found ' .. found .. ', not ' .. wanted, 2) end
end

local function iterator(hex)
  return haka.vbuffer_from(bytes(hex)):pos('begin')
end

function TestAsm:test_string()
  local x86, inst = asm.new_disassembler('x86', '32'), asm.new_instruction()
  assert(x86:disassemble(bytes '90', inst))
  check(inst, 'nop', '', 1)
  assert(inst:bytes() == '\144' and inst.address == 0 and inst.id > 0)
  assert(not x86:disassemble('', inst))
end

function TestAsm:test_iterator_and_addresses()
  local x86, inst = asm.new_disassembler('x86', '32'), asm.new_instruction(0x1000)
  local at = iterator '90 8b05b8136060'
  assert(x86:disassemble(at, inst))
  check(inst, 'nop', '', 1)
  assert(x86:disassemble(at, inst))
  check(inst, 'mov', 'eax, dword ptr [0x606013b8]', 6)
  assert(inst.address == 0x1001 and at.meter == 7)
  assert(not x86:disassemble(at, inst))
end

function TestAsm:test_syntax()
  local x86, inst = asm.new_disassembler('x86', '32'), asm.new_instruction()
  x86:setsyntax('att')
  x86:disassemble(bytes '89d8', inst)
  check(inst, 'movl', '%ebx, %eax', 2)
  x86:setsyntax('intel')
  x86:disassemble(bytes '89d8', inst)
  check(inst, 'mov', 'eax, ebx', 2)
end

function TestAsm:test_bad()
  local x86, inst = asm.new_disassembler('x86', '32'), asm.new_instruction()
  local at = iterator '0f41'
  x86:disassemble(at, inst)
  check(inst, '(bad)', '', 1)
  x86:disassemble(at, inst)
  check(inst, 'inc', 'ecx', 1)
end

function TestAsm:test_bad_word()
  local ppc, inst = asm.new_disassembler('ppc', '32'), asm.new_instruction()
  local at = iterator '00000000 50403020'
  ppc:disassemble(at, inst)
  check(inst, '(bad)', '', 4)
  ppc:disassemble(at, inst)
  assert(inst:mnemonic() == 'subfic' and inst.size == 4)
end

function TestAsm:test_arm()
  local arm, inst = asm.new_disassembler('arm', 'arm'), asm.new_instruction()
  arm:disassemble(bytes '0300a0e1', inst)
  check(inst, 'mov', 'r0, r3', 4)
end

function TestAsm:test_stream()
  local x86, found = asm.new_disassembler('x86', '32'), {}
  local stream = haka.vbuffer_stream()
  local manager = stream:getcomanager()
  manager:start(0, function (at)
    local inst = asm.new_instruction()
    while x86:disassemble(at, inst) do
      found[#found + 1] = inst:mnemonic() .. ' ' .. inst:op_str()
    end
  end)
  local chunks = { '4141488b05b813606088', '05', '90414243' }
  for i, chunk in ipairs(chunks) do
    local current = stream:push(haka.vbuffer_from(bytes(chunk)))
    if i == #chunks then stream:finish() end
    manager:process_all(current)
    while stream:pop() do end
  end
  assert(#found == 5, table.concat(found, '; '))
  assert(found[5] == 'mov byte ptr [0x43424190], al', found[5])
end

function TestAsm:test_errors()
  assertError('unsupported hardware architecture', asm.new_disassembler, 'vax', '32')
  assertError('unsupported hardware mode', asm.new_disassembler, 'x86', '48')
  local x86 = asm.new_disassembler('x86', '32')
  assertError('unknown syntax', x86.setsyntax, x86, 'masm')
  assertError('invalid instruction', x86.disassemble, x86, '\144')
  assertError('invalid iterator', x86.disassemble, x86, 5, asm.new_instruction())
end

addTestSuite('TestAsm')
