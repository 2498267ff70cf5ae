-- SYN flood: one source that opens connections faster than any client would.
--
-- Detects          more than 200 SYN within 10 seconds from one address, counted in a
--                  sliding window. A flood from forged addresses has no one source:
--                  SYN cookies at the server are the answer to that
-- Reference        RFC 4987
-- False positives  NAT or a proxy in front of many users, load tests: raise LIMIT
-- Action           alert (high), once per source while it lasts; SYN above the limit
--                  are dropped, its established connections go on

require('protocol/tcp')

local LIMIT = 200
local WINDOW = 10           -- seconds, on the clock of the packets
local MAX_SOURCES = 20000   -- remembered in each of the two windows

-- SYN by source, in the window that began at `started` and in the one before.
local current, previous = {}, {}
local source_count, started = 0, 0
local alerted = {}

-- A new window begins when the time is over, or early when it is full: an
-- attacker with many addresses can make us forget, not make us grow.
local function turn_window(now)
    local age = now - started
    if age < WINDOW and source_count < MAX_SOURCES then return end

    previous = age < 2 * WINDOW and current or {}
    current, source_count, started = {}, 0, now
    for source in pairs(alerted) do
        if not previous[source] then alerted[source] = nil end
    end
end

-- SYN in the last WINDOW seconds: the previous window counts by the share of
-- it that still lies within them.
local function count_syn(source, now)
    if not current[source] then source_count = source_count + 1 end
    current[source] = (current[source] or 0) + 1

    local share = math.max(0, 1 - (now - started) / WINDOW)
    return current[source] + (previous[source] or 0) * share
end

haka.rule {
    on = haka.dissectors.tcp.events.receive_packet,
    eval = function (pkt)
        if not pkt.flags.syn or pkt.flags.ack then return end

        local now = haka.network_time().seconds
        local source = tostring(pkt.src)
        turn_window(now)
        if count_syn(source, now) <= LIMIT then return end

        if not alerted[source] then
            alerted[source] = true
            haka.alert {
                severity = 'high',
                description = string.format('SYN flood: more than %d SYN within %d seconds', LIMIT, WINDOW),
                method = { ref = 'rfc4987' },
                sources = haka.alert.address(pkt.src),
                targets = {
                    haka.alert.address(pkt.dst),
                    haka.alert.service(string.format('tcp/%d', pkt.dstport)),
                },
            }
        end
        pkt:drop()
    end,
}
