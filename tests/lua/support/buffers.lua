-- Puts buffers and grammars into the global `haka`, as globals.lua does for rules.

local lib = ...

for _, module in pairs { lib.vbuffer, lib.iterator, lib.stream } do
  for name, value in pairs(module) do haka[name] = value end
end
haka.grammar = lib.grammar.api
