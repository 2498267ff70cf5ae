-- Dumps a grammar's nodes as a graph in the language of dot.
--
-- The text goes to the program, which decides where it is written: the
-- library has no files.

local host, lib = ...

local pairs, tostring, type, concat, format, gsub =
  pairs, tostring, type, table.concat, string.format, string.gsub
local log = lib.log.of('grammar')

local SHAPES = { branch = 'diamond', try = 'diamond', union = 'trapezium', array = 'folder',
  retain = 'octagon', release = 'octagon', error = 'invhouse' }

local function quoted(text)
  return '"' .. gsub(gsub(tostring(text), '\\', '\\\\'), '"', '\\"') .. '"'
end

local function title(self)
  local parts = { self.kind }
  if self.bits and type(self.bits) == 'number' then parts[#parts + 1] = self.bits .. ' bits' end
  if self.pattern then parts[#parts + 1] = '/' .. self.pattern .. '/' end
  if self.name then parts[#parts + 1] = format("'%s'", self.name) end
  if self.body and self.rule then parts[#parts + 1] = 'in ' .. self.rule end
  return concat(parts, ' ')
end

-- The text of the graph that the entry points span.
local function graph(name, entries)
  local lines, numbers, count = { format('digraph %s {', quoted(name)) }, {}, 0
  local visit

  local function edge(from, to, label)
    lines[#lines + 1] = format('  n%d -> n%d%s;', numbers[from], visit(to),
      label and format(' [label=%s]', quoted(label)) or '')
  end

  function visit(self)
    if numbers[self] then return numbers[self] end
    count = count + 1
    numbers[self] = count
    lines[#lines + 1] = format('  n%d [label=%s, shape=%s];', count, quoted(title(self)),
      SHAPES[self.kind] or 'box')
    local number = count
    local body = self.body
    if body and not self.recursive then
      if body.kind == 'array' then edge(self, body.element.node, 'element') end
      for key, case in pairs(body.cases or {}) do edge(self, case.node, key) end
    end
    if self._next then edge(self, self._next) end
    return number
  end

  for export, self in lib.utils.sorted_pairs(entries) do
    lines[#lines + 1] = format('  %s [shape=plaintext];', quoted(export))
    lines[#lines + 1] = format('  %s -> n%d;', quoted(export), visit(self))
  end
  lines[#lines + 1] = '}\n'
  return concat(lines, '\n')
end

return function (name, entries)
  local file = name .. '-grammar.dot'
  log.warning("dumping '%s' grammar graph to %s", name, file)
  if host.write_graph then host.write_graph(file, graph(name, entries)) end
end
