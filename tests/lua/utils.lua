-- rules.md 1.4, 1.5, 1.8 and 8.6.

local host, lib, test = ...

local function keys_of(t, less)
  local keys = {}
  for key in sorted_pairs(t, less) do keys[#keys + 1] = tostring(key) end
  return table.concat(keys, ' ')
end

local function traffic()
  local list = lib.list
  local Traffic = list.new('traffic')
  Traffic.field = { 'id', 'bytes', 'note' }
  Traffic.key = 'id'
  Traffic.field_format = {
    bytes = list.formatter.unit,
    note = list.formatter.optional('-'),
  }
  Traffic.field_aggregate = {
    bytes = list.aggregator.add,
    id = list.aggregator.replace('total'),
  }
  local rows = Traffic:new()
  rows:addall{ { { id = 'a', bytes = 10 } }, { { id = 'b', bytes = 1500, note = 'x' } } }
  return rows
end

return {
  ['sorted_pairs orders by text, 10 before 9'] = function ()
    test.equal(keys_of{ [9] = 1, [10] = 1, a = 1 }, '10 9 a')
    test.equal(keys_of({ [9] = 1, [10] = 1 }, function (a, b) return a < b end), '9 10')
  end,

  ['string.safe_format'] = function ()
    test.equal(string.safe_format('a\n\255~\127'), 'a\\x0a\\xff~\\x7f')
    test.equal(string.safe_format('a\n\0', true), 'a\n\\x00')
  end,

  ['table helpers'] = function ()
    local t = { a = 1 }
    test.equal(table.merge(t, { a = 2, b = 3 }), nil)
    test.same(t, { a = 2, b = 3 })
    local list = { 1 }
    table.append(list, { 2, 3 })
    test.same(list, { 1, 2, 3 })
    test.same(table.copy(t), t)
    test.same(table.dict{ 'x', 'y' }, { x = true, y = true })
    test.same(table.invert{ a = 'b' }, { b = 'a' })
    test.equal(table.contains({ k = false }, 'k'), true)
    test.equal(table.contains({ 'k' }, 'k'), false)
    test.equal(table.pack(nil, nil).n, 2)
  end,

  ['topointer identifies a table'] = function ()
    local t = {}
    test.equal(topointer(t), topointer(t))
    test.equal(topointer(t):match('^0x%x+$') ~= nil, true)
    test.equal(topointer(t) ~= topointer({}), true)
  end,

  ['print separates by one space and honours __tostring'] = function ()
    print('a', nil, setmetatable({}, { __tostring = function () return 'T' end }), 1)
    print()
    test.equal(host.written, 'a nil T 1\n\n')
  end,

  ['list: columns, get, filter, sort'] = function ()
    local rows = traffic()
    test.equal(rows.bytes, 1510)
    test.equal(rows.note, nil)
    test.equal(rows:get('b').bytes, 1500)
    test.equal(rows:get('z'), nil)
    test.equal(rows:sort('bytes', true):get('a').id, 'a')
    test.raises_here("order 'zz' is not a valid key", function () rows:sort('zz') end)
    test.raises_here('invalid parameter 1, expected function', function () rows:filter(1) end)
    test.equal(rows:filter(function (row) return row.bytes < 100 end), rows)
    test.equal(rows.id, 'a')
  end,

  ['list: print pads every cell, adds the aggregates'] = function ()
    traffic():print()
    test.equal(host.written, table.concat({
      'id    | bytes | note | ',
      'a     | 10    | -    | ',
      'b     | 1.50k | x    | ',
      'total | 1.51k |      | ',
      '',
    }, '\n'))
  end,

  ['list: no aggregate line for one row'] = function ()
    debug.pprint(traffic():get('a'))
    test.equal(host.written, 'id | bytes | note | \na  | 10    | -    | \n')
  end,

  ['list: sort by function and by column, descending'] = function ()
    local rows = traffic():sort(function (a, b) return a.bytes > b.bytes end)
    rows:print()
    test.equal(host.written:match('\n(%a)'), 'b')
    rows:sort('bytes')
    rows:sort('id', true)
    host.forget()
    rows:print()
    test.equal(host.written:match('\n(%a)'), 'b')
  end,

  ['list: units stay in T'] = function ()
    local unit = lib.list.formatter.unit
    test.equal(unit(999), 999)
    test.equal(unit(1e6), '1.00M')
    test.equal(unit(2.5e9), '2.50G')
    test.equal(unit(5e15), '5000.00T')
  end,
}
