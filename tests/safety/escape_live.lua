-- Attempts to reach memory, pointers or the library through the objects that
-- events bring. Each gets the flow and the data; true means it succeeded.

local function cdata(value)
  return type(value) == 'cdata' and not tostring(value):find('^%d') and value
end

-- Everything below a value that rules can see, without methods being called.
local function pointers(root)
  local seen, found = {}, nil
  local function walk(value, path)
    if type(value) == 'cdata' then
      local text = tostring(value)
      if text:find('cdata<', 1, true) and not text:find('wero_buf_handle', 1, true)
        and not text:find('struct', 1, true) then
        found = found or (path .. ' ' .. text)
      end
      return
    end
    if type(value) ~= 'table' or seen[value] or #path > 200 then return end
    seen[value] = true
    for key, inner in next, value do
      if key == 'cdef' then found = path .. '.cdef' end
      walk(inner, path .. '.' .. tostring(key))
    end
    local meta = getmetatable(value)
    if type(meta) == 'table' then walk(meta, path .. '#') end
  end
  walk(root, '')
  return found
end

-- Whether reading `key` gives a value where it must raise.
local function reads(object, key)
  return object[key] ~= nil and 'a value of ' .. key
end

local function packet()
  local pkt = haka.dissectors.packet.create and haka.dissectors.packet:create(64)
  return assert(pkt)
end

local kept = {}

return {
  { 'pointers below the globals', function () return pointers(_G) end },
  { 'pointers below the flow', function (flow) return pointers(flow) end },
  { 'pointers below the data', function (_, data) return pointers(data) end },
  { 'the handle of a buffer', function ()
    local handle = rawget(haka.vbuffer_from('abc'), '_h')
    local ok, got = pcall(function () return handle[0] end)
    if ok then return got end
    ok, got = pcall(function () handle.x = 1 return true end)
    return ok and got
  end },
  { 'a freed handle', function ()
    local buffer = haka.vbuffer_from('abc')
    rawset(buffer, '_h', nil)
    for _ = 1, 200 do collectgarbage() local _ = ('x'):rep(1e5) end
    local ok, text = pcall(function () return buffer:sub():asstring() end)
    return ok and text ~= 'abc' and text
  end },
  { 'a forged slot of a flow', function (flow)
    local slot = flow[0]
    for _, forged in ipairs { 1e9, -1, 2 ^ 31, 2 ^ 53, 0.5, 1 / 0, 0 / 0, '7' } do
      rawset(flow, 0, forged)
      -- At worst another flow is read.
      local ok, got = pcall(function () return flow.srcport end)
      if ok and not (got > 1000 and got < 1004 or got == 2001) then rawset(flow, 0, slot) return got end
    end
    rawset(flow, 0, slot)
  end },
  { 'a slot that is no number', function (flow)
    local slot, got, ok = flow[0], nil, nil
    for _, forged in ipairs { {}, print, true, 'x' } do
      rawset(flow, 0, forged)
      ok, got = pcall(reads, flow, 'srcport')
      if ok and got then break end
    end
    rawset(flow, 0, slot)
    return ok and got
  end },
  { 'forged generations', function (flow)
    local slot, generation = flow[0], flow[1]
    for other = 0, 70000 do
      rawset(flow, 0, other)
      for forged = 0, 3 do
        rawset(flow, 1, forged)
        pcall(reads, flow, 'srcport')
        pcall(reads, flow, 'srcip')
      end
    end
    rawset(flow, 0, slot)
    rawset(flow, 1, generation)
  end },
  { 'a table with the metatable of a flow', function (flow)
    local meta = getmetatable(flow)
    local forged = type(meta) == 'table' and setmetatable({ [0] = 0, 1 }, meta) or {}
    return forged.srcport or forged.drop
  end },
  { 'changing the metatable of a flow', function (flow)
    return setmetatable(flow, {})
  end },
  { 'poisoning what getmetatable gives', function (flow)
    local meta = getmetatable(flow)
    if type(meta) ~= 'table' then return end
    meta.__index = function () return 'poisoned' end
    return flow.srcport == 'poisoned'
  end },
  { 'changing the metatable of data', function (_, data) return setmetatable(data, {}) end },
  { 'forged buffer numbers', function (_, data)
    local sub = data:sub(0, 2)
    for _, name in ipairs { '_a', '_c', '_e', '_n', '_v', '_b' } do
      for _, forged in ipairs { 0, -1, 1e18, 1 / 0, 0 / 0, 2 ^ 52 + 1, 2 ^ 32, {}, 'x', true } do
        local copy = {}
        for key, value in next, sub do copy[key] = value end
        local was = rawget(sub, name)
        rawset(sub, name, forged)
        pcall(function () return sub:asstring() end)
        pcall(function () return #sub end)
        pcall(function () sub[1] = 1 return sub[1] end)
        pcall(function () return sub:asnumber() end)
        pcall(function () return sub:pos(0):advance(3) end)
        rawset(sub, name, was)
      end
    end
  end },
  { 'fields of addresses', function (flow)
    local address = flow.srcip
    local ok = pcall(function () address._s = 1 end)
    local changed = pcall(function () address.low = 1 end)
    return ok or changed or rawequal(getmetatable(address), nil)
  end },
  { 'indexing addresses', function (flow)
    local address = flow.srcip
    return address[0] or address[-1] or address[1e6]
  end },
  { 'arithmetic on addresses', function (flow)
    local ok, got = pcall(function () return flow.srcip + 1 end)
    return ok and cdata(got) and got
  end },
  { 'poisoning a class of the library', function ()
    haka.context.connections.secret = 1
    return haka.context.ffi or haka.context.host
  end },
  { 'upvalues', function () return debug.getupvalue or debug.setupvalue end },
  { 'host through dissectors', function ()
    for _, dissector in pairs(haka.dissectors) do
      if dissector.host or dissector.ffi or dissector.ops then return 'host' end
    end
  end },
  { 'ffi through haka', function () return haka.ffi or haka.host or haka.ops or haka.engine end },
  { 'library chunks', function () return package.loaded['[wero]/native'] or package.loaded.native end },
  { 'a forged packet, kept', function ()
    kept.packet = haka.dissectors.packet and packet()
  end },
  { 'a stale buffer', function (_, data)
    local buffer = haka.vbuffer_from('abc')
    local it, sub = buffer:pos(1), buffer:sub(0, 2)
    buffer:erase()
    local ok = pcall(function () return sub:asstring() == 'ab' end)
    return ok and sub:asstring() == 'ab' or (pcall(it.sub, it, 2) and it:sub(2):asstring() == 'bc')
  end },
  { 'methods on other objects', function (flow, data)
    return pcall(data.sub, flow) or pcall(flow.drop, data)
  end },
  { 'the type of wide numbers', function () return getmetatable(1LL) ~= 'ffi' and getmetatable(1LL) end },
  { 'finalizers', function ()
    local hit
    setmetatable({}, { __gc = function () hit = true end })
    for _ = 1, 50 do collectgarbage() end
    return hit
  end },
  { 'names of library chunks', function ()
    return load('return 1', '=[wero]/x') and debug.getinfo(load('return 1', '=[wero]/x'), 'S').short_src:find('wero')
  end },
}
