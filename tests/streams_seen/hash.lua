-- Hashes what `receive_data` is given, per connection and direction, and
-- prints `flow direction length sha256` at the end. SHA-256 is FIPS 180-4.

require('protocol/tcp_connection')

local band, bor, bxor, bnot = bit.band, bit.bor, bit.bxor, bit.bnot
local rshift, ror, tobit, tohex = bit.rshift, bit.ror, bit.tobit, bit.tohex

local K = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
local w = {}

local function block(h, bytes, at)
    for i = 1, 16 do
        local a, b, c, d = bytes:byte(at + 4 * i - 4, at + 4 * i - 1)
        w[i] = tobit(a * 16777216 + b * 65536 + c * 256 + d)
    end
    for i = 17, 64 do
        local x, y = w[i - 15], w[i - 2]
        local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
        local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
        w[i] = tobit(w[i - 16] + s0 + w[i - 7] + s1)
    end
    local a, b, c, d, e, f, g, k = h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]
    for i = 1, 64 do
        local t1 = tobit(k + bxor(ror(e, 6), ror(e, 11), ror(e, 25)) + bxor(band(e, f), band(bnot(e), g)) + K[i] + w[i])
        local t2 = tobit(bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + bxor(band(a, b), band(a, c), band(b, c)))
        k, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
    end
    h[1], h[2], h[3], h[4] = tobit(h[1] + a), tobit(h[2] + b), tobit(h[3] + c), tobit(h[4] + d)
    h[5], h[6], h[7], h[8] = tobit(h[5] + e), tobit(h[6] + f), tobit(h[7] + g), tobit(h[8] + k)
end

local function start()
    return { length = 0, rest = '', 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
        0x1f83d9ab, 0x5be0cd19 }
end

local function add(h, bytes)
    h.length = h.length + #bytes
    bytes = h.rest .. bytes
    local whole = #bytes - #bytes % 64
    for at = 1, whole, 64 do block(h, bytes, at) end
    h.rest = bytes:sub(whole + 1)
end

local function digest(h)
    local length = h.length
    local bits = ''
    for shift = 7, 0, -1 do bits = bits .. string.char(math.floor(length * 8 / 256 ^ shift) % 256) end
    add(h, '\x80' .. ('\0'):rep((55 - length) % 64) .. bits)
    local text = ''
    for i = 1, 8 do text = text .. tohex(h[i]) end
    return length, text
end

local sums = {}

haka.rule {
    on = haka.dissectors.tcp_connection.events.receive_data,
    eval = function (flow, data, dir)
        local key = flow.id .. ' ' .. dir
        sums[key] = sums[key] or start()
        add(sums[key], data:asstring())
    end,
}

haka.rule {
    on = haka.events.exiting,
    eval = function ()
        for key, sum in pairs(sums) do print(key, digest(sum)) end
    end,
}
