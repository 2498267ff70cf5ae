-- DNS tunnels: data that leave in the names that are asked for.
--
-- Three marks, each harmless by itself: names that are long below their
-- domain, names that look random (bits of entropy a character), and many
-- different names of one domain within a minute. Many that are long or random
-- are an alert, and that host's queries for that domain are dropped for the
-- rest of the minute. Domains are taken to be the last two labels; lists of
-- public suffixes would do better.

require('protocol/dns')

local limits = {
    length = 40,      -- characters below the domain
    entropy = 3.5,    -- bits a character, of names of 20 characters and more
    names = 20,       -- different names of one domain
    window = 60,      -- seconds
    domains = 10000,  -- pairs of host and domain that are watched at a time
}

local watched, count = {}, 0

local function entropy(text)
    local seen, bits = {}, 0
    for i = 1, #text do
        local byte = text:byte(i)
        seen[byte] = (seen[byte] or 0) + 1
    end
    for _, times in pairs(seen) do
        local share = times / #text
        bits = bits - share * math.log(share) / math.log(2)
    end
    return bits
end

-- What is watched of a host and domain; begins anew each minute.
local function watch(host, domain)
    local key, now = host .. ' ' .. domain, os.time()
    local entry = watched[key]
    if entry and now - entry.since < limits.window then return entry end
    if not entry then
        if count >= limits.domains then watched, count = {}, 0 end
        count = count + 1
    end
    entry = { since = now, names = {}, different = 0, marks = {} }
    watched[key] = entry
    return entry
end

local function note(entry, name, below)
    if not entry.names[name] and entry.different <= limits.names then
        entry.names[name] = true
        entry.different = entry.different + 1
    end
    local text = below:gsub('%.', '')
    local marks = entry.marks
    if #below > limits.length then marks.long = true end
    if #text >= 20 and entropy(text) > limits.entropy then marks.random = true end
    if entry.different > limits.names then marks.many = true end
end

local function found(entry)
    local list = {}
    for _, mark in ipairs { 'long', 'many', 'random' } do
        if entry.marks[mark] then list[#list + 1] = mark end
    end
    return list
end

haka.rule {
    name = 'tunnel',
    on = haka.dissectors.dns.events.query,
    eval = function (dns, query)
        local question = query.question
        local name = question and question.name:lower() or ''
        local below, domain = name:match('^(.+)%.([^.]+%.[^.]+%.)$')
        if not below then return end
        local entry = watch(tostring(dns.srcip), domain)
        if entry.told then return query:drop() end
        note(entry, name, below)
        local marks = found(entry)
        if not entry.marks.many or #marks < 2 then return end
        entry.told = true
        haka.alert {
            severity = 'high',
            description = string.format('DNS tunnel to %s: %s names', domain, table.concat(marks, ', ')),
            sources = haka.alert.address(dns.srcip),
            targets = haka.alert.address(dns.dstip),
        }
        query:drop()
    end,
}
