-- Pretty-printing (debug.pprint), its hide helpers, and debug.format_error.
--
-- Native objects are tables or cdata of other modules. A table counts as
-- native when its metatable carries `__name`; `__attributes` lists what can
-- be read, `__class = true` marks objects that also take fields of rules and
-- are shown as class instances; `__members` gives what to show of one that
-- lists it itself. cdata is announced with `register_cdata`.

local host, lib = ...

local type, next, ipairs, tostring, pcall = type, next, ipairs, tostring, pcall
local getmetatable, sort, byte, find, format =
  getmetatable, table.sort, string.byte, string.find, string.format
local traceback = debug.traceback

local class, color = lib.class, lib.color
local classof, find_method = class.classof, class.find_method
local instance_properties, own_properties = class.instance_properties, class.own_properties
local PROPERTIES = class.property_field
local sorted_pairs = lib.utils.sorted_pairs
local log_enabled = host.log_enabled

local DEBUG = 4

local pprint = {}

-- Attributes of native objects whose metatable is just their type's name.
local named = {}

function pprint.register_named(name, attributes)
  named[name] = { __attributes = attributes }
end

-- What `tostring` gives for a native object without a text of its own.
function pprint.text_of(name, class_name)
  if class_name then
    return function (self) return format('<class instance %s: %p>', name, self) end
  end
  return function (self) return format("<userdata of type '%s' at %p>", name, self) end
end

local function word(text) return color.cyan .. color.bold .. text .. color.clear end
local function literal(text) return color.magenta .. color.bold .. text .. color.clear end
local function wrong(text) return color.red .. color.bold .. text .. color.clear end

local cdata_types = {}

-- Names the cdata for which `holds(value)` is true.
function pprint.register_cdata(holds, name)
  cdata_types[#cdata_types + 1] = { holds = holds, name = name }
end

-- Type name and metatable of a native object, else nil.
local function native(value)
  local kind = type(value)
  if kind == 'cdata' then
    for i = 1, #cdata_types do
      if cdata_types[i].holds(value) then return cdata_types[i].name, { __tostring = tostring } end
    end
    return 'cdata', { __tostring = tostring }
  end
  if kind ~= 'table' and kind ~= 'userdata' then return nil end
  local meta = getmetatable(value)
  if type(meta) == 'string' and named[meta] then return meta, named[meta] end
  local name = type(meta) == 'table' and meta.__name
  if type(name) == 'string' then return name, meta end
  if kind == 'userdata' then return kind, {} end
end

local function is_hidden(hide, name, value)
  for i = 1, #hide do
    if hide[i](name, value) then return true end
  end
  return false
end

local show

-- One printing: where it goes, what it hides, and the values open on the
-- path from the top.
local function member(state, indent, name, value, depth)
  if is_hidden(state.hide, name, value) then return end
  show(state, indent, name, value, depth)
end

local function read(object, key)
  return object[key]
end

local function attribute(state, indent, object, key, depth)
  local ok, value = pcall(read, object, key)
  if ok then
    member(state, indent, key, value, depth)
  else
    state.line(indent, key, wrong(tostring(value)))
  end
end

local function attributes_in_order(meta)
  local list = {}
  for i = 1, #(meta.__attributes or {}) do list[i] = meta.__attributes[i] end
  sort(list)
  return list
end

local function instance_members(state, indent, object, depth)
  local raw = {}
  for key, value in next, object do
    if key ~= PROPERTIES then raw[key] = value end
  end
  for key, value in sorted_pairs(raw) do member(state, indent, key, value, depth) end
  for key, property in sorted_pairs(instance_properties(object) or {}) do
    if not property.present or property.present(object) then
      attribute(state, indent, object, key, depth)
    end
  end
  for key, property in sorted_pairs(own_properties(classof(object))) do
    if property.get then attribute(state, indent, object, key, depth) end
  end
end

local function native_class_members(state, indent, object, depth, meta)
  -- Objects that list themselves: pairs of name and value, in order.
  if meta.__members then
    for _, pair in ipairs(meta.__members(object)) do
      member(state, indent, pair[1], pair[2], depth)
    end
    return
  end
  -- What stands for its place in the engine is nobody's.
  local raw, place = {}, meta.__place or {}
  for key, value in next, object do
    if not place[key] then raw[key] = value end
  end
  for key, value in sorted_pairs(raw) do member(state, indent, key, value, depth) end
  for _, key in ipairs(attributes_in_order(meta)) do
    attribute(state, indent, object, key, depth)
  end
end

local function native_members(state, indent, object, depth, meta)
  for _, key in ipairs(attributes_in_order(meta)) do
    attribute(state, indent, object, key, depth)
  end
end

local function table_members(state, indent, t, depth)
  for key, value in sorted_pairs(t) do member(state, indent, key, value, depth) end
end

local function block(state, indent, name, title, value, depth, members, meta)
  if depth == 0 then return state.line(indent, name, title) end
  if state.open[value] then return state.line(indent, name, wrong('recursive value')) end
  state.open[value] = true
  state.line(indent, name, title .. ' {')
  members(state, indent .. '  ', value, depth - 1, meta)
  state.out(indent .. '}')
  state.open[value] = nil
end

local function show_native(state, indent, name, value, depth, type_name, meta)
  if meta.__class then
    return block(state, indent, name, word('class') .. ' ' .. type_name, value, depth,
      native_class_members, meta)
  end
  local title = word('userdata') .. ' ' .. type_name
  if meta.__tostring then
    return state.line(indent, name, title .. ' ' .. tostring(value))
  end
  if not meta.__attributes or #meta.__attributes == 0 then
    return state.line(indent, name, title)
  end
  return block(state, indent, name, title, value, depth, native_members, meta)
end

local function show_instance(state, indent, name, value, depth)
  local own = find_method(value, '__pprint')
  if not own then
    local title = word('class') .. ' ' .. classof(value).name
    return block(state, indent, name, title, value, depth, instance_members)
  end
  if name == nil then return own(value, indent, state.out) end
  state.out(indent .. color.blue .. color.bold .. tostring(name) .. color.clear .. ' :')
  own(value, indent .. '  ', state.out)
end

show = function (state, indent, name, value, depth)
  if classof(value) then return show_instance(state, indent, name, value, depth) end
  local type_name, meta = native(value)
  if type_name then return show_native(state, indent, name, value, depth, type_name, meta) end

  local kind = type(value)
  if kind == 'table' then
    return block(state, indent, name, word('table'), value, depth, table_members)
  elseif kind == 'string' then
    return state.line(indent, name, literal('"' .. value .. '"'))
  elseif kind == 'boolean' then
    return state.line(indent, name, literal(tostring(value)))
  elseif kind == 'function' or kind == 'thread' then
    return state.line(indent, name, word(kind))
  end
  state.line(indent, name, tostring(value))
end

-- Options: indent ('' by default), depth (levels opened, -1 all), hide (a
-- function or list of functions of name and value), out (print by default).
function pprint.pprint(value, options)
  options = options or {}
  local out = options.out or lib.print
  local hide = options.hide or {}
  if type(hide) == 'function' then hide = { hide } end

  local function line(indent, name, text)
    if name == nil then return out(indent .. text) end
    -- Two strings, which print joins with a space.
    out(indent .. color.blue .. color.bold .. tostring(name) .. color.clear .. ' :', text)
  end
  show({ out = out, line = line, hide = hide, open = {} },
    options.indent or '', nil, value, options.depth or -1)
end

function pprint.hide_underscore(name)
  return type(name) == 'string' and byte(name) == 95
end

function pprint.hide_function(_, value)
  return type(value) == 'function'
end

-- Called with every error that a handler of the library sees, where it is
-- raised: the debugger, while it is attached.
local on_error

function pprint.on_errors(fn)
  on_error = fn
end

-- Error handler: adds the traceback when the section `lua` logs at debug
-- level. Nil (an abort) and error objects pass through unchanged, and a
-- message that already has its traceback is not given a second one.
function pprint.format_error(err)
  if on_error then on_error(err) end
  if type(err) ~= 'string' or not log_enabled(DEBUG, 'lua') then return err end
  if find(err, '\nstack traceback:\n', 1, true) then return err end
  local text = traceback(err, 2) -- no tail call: level 2 leaves this frame out
  return text
end

-- The same for an error that ended a coroutine: it lies deeper than the code
-- that raises it again.
function pprint.format_coroutine_error(co, err)
  if type(err) ~= 'string' or not log_enabled(DEBUG, 'lua') then return err end
  if find(err, '\nstack traceback:\n', 1, true) then return err end
  local text = traceback(co, err)
  return text
end

debug.pprint = pprint.pprint
debug.hide_underscore = pprint.hide_underscore
debug.hide_function = pprint.hide_function
debug.format_error = pprint.format_error

return pprint
