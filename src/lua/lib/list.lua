-- Tables of rows as the console shows them: filter, sort, aggregate, print.
--
-- `list.new` makes a class; its columns are class attributes: `field` (the
-- ordered names), `key`, `field_format` and `field_aggregate`.

local _, lib = ...

local type, tostring, ipairs, pairs = type, tostring, ipairs, pairs
local format, rep = string.format, string.rep
local concat, sort = table.concat, table.sort

local new_class, classof = lib.class.class, lib.class.classof
local check_type, check_error = lib.check.type, lib.check.error
local color = lib.color

local List = new_class('List')

function List.method:__init()
  self._rows = {}
end

local function has_column(self, name)
  local fields = classof(self).field or {}
  for i = 1, #fields do
    if fields[i] == name then return true end
  end
  return false
end

local function aggregate(self, column)
  local aggregators = classof(self).field_aggregate
  local aggregator = aggregators and aggregators[column]
  if not aggregator then return nil end
  local values = {}
  for i = 1, #self._rows do values[i] = self._rows[i][column] end
  return aggregator(values)
end

function List.method:__index(key)
  if not has_column(self, key) then return nil end
  local rows = self._rows
  if #rows == 1 then return rows[1][key] end
  return aggregate(self, key)
end

function List.method:add(rows)
  local own = self._rows
  for i = 1, #rows do own[#own + 1] = rows[i] end
end

function List.method:addall(arrays)
  for i = 1, #arrays do self:add(arrays[i]) end
end

function List.method:get(key)
  local cls = classof(self)
  local column = cls.key
  for i = 1, #self._rows do
    local row = self._rows[i]
    if row[column] == key then
      local single = cls:new()
      single:add{ row }
      return single
    end
  end
end

function List.method:filter(keep)
  check_type(1, keep, 'function')
  local kept = {}
  for i = 1, #self._rows do
    local row = self._rows[i]
    if keep(row) then kept[#kept + 1] = row end
  end
  self._rows = kept
  return self
end

-- A row without a value in the column comes first.
local function by_column(column)
  return function (a, b)
    local x, y = a[column], b[column]
    if x == nil or y == nil then return x == nil and y ~= nil end
    return x < y
  end
end

function List.method:sort(order, invert)
  local less = order
  if type(order) ~= 'function' then
    if not has_column(self, order) then
      check_error(format("order '%s' is not a valid key", tostring(order)))
    end
    less = by_column(order)
  end
  if invert then
    local ascending = less
    less = function (a, b) return ascending(b, a) end
  end
  sort(self._rows, less)
  return self
end

-- Missing values of a row go through the column's format too (see
-- formatter.optional); a column without aggregator stays empty.
local function row_texts(cls, row)
  local formats = cls.field_format or {}
  local texts = {}
  for i, column in ipairs(cls.field) do
    local value = row[column]
    if formats[column] then value = formats[column](value) end
    texts[i] = value == nil and '' or tostring(value)
  end
  return texts
end

local function aggregate_texts(self, cls)
  local formats = cls.field_format or {}
  local texts = {}
  for i, column in ipairs(cls.field) do
    local value = aggregate(self, column)
    if value ~= nil and formats[column] then value = formats[column](value) end
    texts[i] = value == nil and '' or tostring(value)
  end
  return texts
end

local function line_of(texts, widths, before, after)
  local cells = {}
  for i = 1, #texts do
    cells[i] = before .. texts[i] .. after .. rep(' ', widths[i] - #texts[i]) .. ' | '
  end
  return concat(cells)
end

local function write(self, indent, out)
  local cls = classof(self)
  local header = {}
  for i, column in ipairs(cls.field) do header[i] = tostring(column) end
  local lines = {}
  for i = 1, #self._rows do lines[i] = row_texts(cls, self._rows[i]) end
  if cls.field_aggregate and #self._rows >= 2 then
    lines[#lines + 1] = aggregate_texts(self, cls)
  end

  local widths = {}
  for i = 1, #header do
    widths[i] = #header[i]
    for _, texts in ipairs(lines) do
      if #texts[i] > widths[i] then widths[i] = #texts[i] end
    end
  end
  out(indent .. line_of(header, widths, color.blue .. color.bold, color.clear))
  for i = 1, #lines do out(indent .. line_of(lines[i], widths, '', '')) end
end

function List.method:__pprint(indent, out)
  write(self, indent, out)
end

function List.method:print()
  write(self, '', lib.print)
end

local list = { formatter = {}, aggregator = {} }

-- A class of lists with no column yet.
function list.new(name)
  local cls = new_class(name, List)
  cls.field = {}
  function cls.__len(self) return #self._rows end
  return cls
end

-- 1234 becomes 1.23k, and so on up to T; below 1000 nothing changes.
function list.formatter.unit(value)
  if type(value) ~= 'number' or value < 1000 then return value end
  local units = { 'k', 'M', 'G', 'T' }
  local unit = 0
  while value >= 1000 and unit < #units do
    value = value / 1000
    unit = unit + 1
  end
  return format('%.2f%s', value, units[unit])
end

function list.formatter.optional(default)
  return function (value)
    if value == nil then return default end
    return value
  end
end

function list.aggregator.add(values)
  local sum = 0
  for _, value in pairs(values) do sum = sum + value end
  return sum
end

function list.aggregator.replace(value)
  return function () return value end
end

return list
