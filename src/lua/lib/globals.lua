-- Last chunk: what rules find in their globals, and the seal on them.

local host, lib = ...

local pairs, rawget = pairs, rawget
local protocol, seal = lib.protocol, lib.sandbox
local G = _G

local function copy(module)
  local fresh = {}
  for key, value in pairs(module) do fresh[key] = value end
  return fresh
end

-- The module `class`, without what the library keeps for itself.
local function class_module()
  local fresh = {}
  for _, name in pairs { 'class', 'super', 'classof', 'isclass', 'isa', 'isaclass', 'merge',
    'new_instance', 'BaseObject' } do
    fresh[name] = lib.class[name]
  end
  return fresh
end

local haka = lib.haka
for _, module in pairs { lib.vbuffer, lib.stream, lib.iterator } do
  for _, name in pairs { 'vbuffer_from', 'vbuffer_allocate', 'vbuffer', 'vbuffer_sub',
    'vbuffer_stream', 'vbuffer_sub_stream', 'vbuffer_iterator_blocking',
    'vbuffer_stream_comanager' } do
    haka[name] = haka[name] or module[name]
  end
end
haka.grammar = lib.grammar.api
haka.state_machine = lib.state_machine

-- Loaders of the engine's modules, by the name that `require` takes.
local function preload()
  local loaders = protocol.preload()
  loaders['regexp/pcre'] = function () return { re = lib.regexp.re } end
  return loaders
end

haka.regexp_result = lib.regexp.result

local function extras()
  local utils, pprint = lib.utils, lib.pprint
  local tables = {}
  for _, name in pairs { 'merge', 'append', 'copy', 'dict', 'invert', 'contains', 'pack' } do
    tables[name] = utils[name]
  end
  local modules = {
    class = class_module(), check = copy(lib.check), color = copy(lib.color),
    list = lib.list, parse = lib.grammar.parse, parse_result = lib.grammar.api.result,
    grammar_dg = lib['grammar/node'].public, rule = { rules = lib.rule.rules }, policy = {},
    state = { State = lib.state_type.State, BidirectionalState = lib.state_type.BidirectionalState },
  }
  for _, name in pairs { 'utils', 'events', 'context', 'dissector', 'grammar', 'state_machine',
    'rule_group', 'interactive' } do
    modules[name] = true
  end
  return {
    haka = haka,
    print = rawget(G, 'print'),
    sorted_pairs = utils.sorted_pairs,
    topointer = utils.topointer,
    string = { safe_format = utils.safe_format },
    table = tables,
    debug = {
      pprint = pprint.pprint,
      hide_underscore = pprint.hide_underscore,
      hide_function = pprint.hide_function,
      format_error = pprint.format_error,
      interactive = { enter = lib.interactive.enter },
      debugger = { start = lib.debugger.start, stop = lib.debugger.stop },
      breakpoint = lib.debugger.breakpoint,
    },
    package = { loaded = modules, preload = preload() },
  }
end

-- Announces the dissector that is always there, and seals the globals.
return function ()
  lib['proto/packet']()
  seal(G, extras())
end
