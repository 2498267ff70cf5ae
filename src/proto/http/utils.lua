-- `require('protocol/http_utils')`: uris and cookies taken apart.
--
-- A split uri or cookie header is an object of the parts that are there,
-- which rules may change; `tostring` puts it together again, arguments and
-- cookies in the order they came in, later ones behind them.

local _, lib = ...

local new_class = lib.class.class
local assert_that = lib.check.assert
local sorted_pairs = lib.utils.sorted_pairs
local find, sub, match, gmatch, gsub = string.find, string.sub, string.match, string.gmatch, string.gsub
local lower, upper, char, concat = string.lower, string.upper, string.char, table.concat
local pairs, rawget, select, setmetatable, tonumber, tostring, type =
  pairs, rawget, select, setmetatable, tonumber, tostring, type

-- Object -> names in the order they came in. Beside the objects, whose
-- fields are the rules' to see.
local order_of = setmetatable({}, { __mode = 'k' })

-- Splits `name=value` pairs into `into`; a later name overwrites.
local function split_pairs(text, separator, into)
  local order = {}
  for pair in gmatch(text, '[^' .. separator .. ']+') do
    local name, value = match(pair, '^([^=]*)=?(.*)$')
    if rawget(into, name) == nil then order[#order + 1] = name end
    into[name] = value
  end
  order_of[into] = order
end

local function join_pairs(from, separator)
  local out, seen = {}, {}
  local function put(name, value)
    if seen[name] or value == nil then return end
    seen[name] = true
    out[#out + 1] = tostring(name) .. '=' .. tostring(value)
  end
  local order = order_of[from] or {}
  for i = 1, #order do put(order[i], rawget(from, order[i])) end
  for name, value in sorted_pairs(from) do put(name, value) end
  return concat(out, separator)
end

-- Uris -------------------------------------------------------------------------

local HttpUriSplit = new_class('HttpUriSplit')

local function present(text)
  if text ~= '' then return text end
end

local function split_authority(self, authority)
  self.authority = present(authority)
  local userinfo, rest = match(authority, '^([^@]*)@(.*)$')
  if userinfo then
    authority = rest
    self.userinfo = present(userinfo)
    local user, pass = match(userinfo, '^(.*):([^:]*)$')
    self.user, self.pass = present(user or userinfo), present(pass or '')
  end
  -- One digit is left to the host, as Haka does.
  local host, port = match(authority, '^(.*):(%d%d+)$')
  self.host, self.port = present(host or authority), port
end

function HttpUriSplit.method:__init(uri)
  assert_that(uri ~= nil, 'uri expected', 1)
  local core, rest = match(tostring(uri), '^([^?#]*)(.*)$')
  local query, fragment = match(rest, '^%??([^#]*)#?(.*)$')
  self.fragment = present(fragment)
  self.query = present(query)
  if self.query then
    self.args = {}
    split_pairs(query, '&', self.args)
  end
  local scheme, hierarchy = match(core, '^(%a*)://(.*)$')
  if scheme then
    self.scheme, core = present(scheme), hierarchy
  end
  local authority, path = match(core, '^([^/]*)(.*)$')
  if authority ~= '' then split_authority(self, authority) end
  self.path = present(path)
end

-- Escapes of characters that need none are undone, others put in capitals.
local function normalize_escapes(text)
  return (gsub(text, '%%(%x%x)', function (digits)
    local plain = char(tonumber(digits, 16))
    if find(plain, '^[%w%-%._~]$') then return plain end
    return '%' .. upper(digits)
  end))
end

-- RFC 3986, 5.2.4: above the root is the root.
local function remove_dots(path)
  if not find(path, '.', 1, true) then return path end
  local out, rooted = {}, sub(path, 1, 1) == '/'
  local ends_open = false
  for part in gmatch(rooted and sub(path, 2) or path, '([^/]*)/?') do
    out[#out + 1] = part
  end
  -- The pattern finds the empty text behind the last part too.
  out[#out] = nil
  if sub(path, -1) == '/' and #path > 1 then out[#out + 1] = '' end
  local kept = {}
  for i = 1, #out do
    local part = out[i]
    ends_open = part == '.' or part == '..'
    if part == '..' then
      kept[#kept] = nil
    elseif part ~= '.' then
      kept[#kept + 1] = part
    end
  end
  if ends_open then kept[#kept + 1] = '' end
  return (rooted and '/' or '') .. concat(kept, '/')
end

local TEXTS = { 'scheme', 'authority', 'userinfo', 'user', 'pass', 'host', 'port', 'path', 'query',
  'fragment' }

function HttpUriSplit.method:normalize()
  for i = 1, #TEXTS do
    local text = rawget(self, TEXTS[i])
    if text ~= nil then self[TEXTS[i]] = normalize_escapes(tostring(text)) end
  end
  local args = rawget(self, 'args')
  if type(args) == 'table' then
    local order, fresh, names = order_of[args] or {}, {}, {}
    for name, value in pairs(args) do
      fresh[name] = { normalize_escapes(tostring(name)), normalize_escapes(tostring(value)) }
    end
    for name in pairs(fresh) do args[name] = nil end
    for i = 1, #order do
      if fresh[order[i]] then names[i] = fresh[order[i]][1] else names[i] = order[i] end
    end
    for _, pair in sorted_pairs(fresh) do args[pair[1]] = pair[2] end
    order_of[args] = names
  end
  if self.authority and not self.scheme then self.scheme = 'http' end
  if self.scheme then self.scheme = lower(self.scheme) end
  if self.host then self.host = lower(self.host) end
  if self.port == '80' then self.port = nil end
  if self.path == nil and self.scheme == 'http' then self.path = '/' end
  if self.path then self.path = remove_dots(self.path) end
  return self
end

function HttpUriSplit.method:__tostring()
  local out = {}
  local function put(...)
    for i = 1, select('#', ...) do out[#out + 1] = tostring((select(i, ...))) end
  end
  if self.host then
    if self.scheme then put(self.scheme, '://') end
    if self.user and self.pass then put(self.user, ':', self.pass, '@') end
    put(self.host)
    if self.port then put(':', self.port) end
  end
  if self.path then put(self.path) end
  if self.args then
    put('?', join_pairs(self.args, '&'))
  elseif self.query then
    put('?', self.query)
  end
  if self.fragment then put('#', self.fragment) end
  return concat(out)
end

-- Cookies ------------------------------------------------------------------------

local HttpCookiesSplit = new_class('HttpCookiesSplit')

function HttpCookiesSplit.method:__init(cookies)
  if cookies ~= nil then split_pairs(tostring(cookies), ';', self) end
end

function HttpCookiesSplit.method:__tostring()
  return join_pairs(self, ';')
end

local utils = {
  uri = {
    split = function (uri) return HttpUriSplit:new(uri) end,
    normalize = function (uri) return tostring(HttpUriSplit:new(uri):normalize()) end,
  },
  cookies = {
    split = function (cookies) return HttpCookiesSplit:new(cookies) end,
  },
}

return function () return utils end
