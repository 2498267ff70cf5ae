-- Port scan: one source that tries many ports or hosts within seconds.
--
-- Detects          a SYN to the 15th different address and port within 10 seconds.
--                  Slower scans, and scans from many sources, stay unseen
-- Reference        ATT&CK T1046, Network Service Discovery
-- False positives  monitoring systems, proxies, NAT in front of many users: leave them
--                  out by `trusted`, or raise TARGETS
-- Action           alert (medium), once per source and window; nothing is dropped

local ip = require('protocol/ip')
require('protocol/tcp')

local TARGETS = 15
local WINDOW = 10           -- seconds, on the clock of the packets
local MAX_SOURCES = 10000   -- remembered at a time, at most TARGETS targets each

local trusted = {
    -- ip.network('192.0.2.0/24'),
    ip.network('127.0.0.0/8'),
    ip.network('::1/128'),
}

-- Sources seen since `started`. Forgetting all of them at once keeps this simple
-- and bounded; a scan across that moment is found by its second half.
local sources, source_count, started = {}, 0, 0

local function targets_of(source)
    local now = haka.network_time().seconds
    if now - started >= WINDOW or source_count >= MAX_SOURCES then
        sources, source_count, started = {}, 0, now
    end
    local targets = sources[source]
    if not targets then
        targets = { count = 0 }
        sources[source] = targets
        source_count = source_count + 1
    end
    return targets
end

local function is_trusted(address)
    for _, network in ipairs(trusted) do
        if network:contains(address) then return true end
    end
    return false
end

haka.rule {
    on = haka.dissectors.tcp.events.receive_packet,
    eval = function (pkt)
        if not pkt.flags.syn or pkt.flags.ack or is_trusted(pkt.src) then return end

        local targets = targets_of(tostring(pkt.src))
        local target = string.format('%s %d', pkt.dst, pkt.dstport)
        if targets[target] or targets.count == TARGETS then return end
        targets[target] = true
        targets.count = targets.count + 1

        if targets.count == TARGETS then
            haka.alert {
                severity = 'medium',
                description = string.format('port scan: %d targets within %d seconds', TARGETS, WINDOW),
                method = { ref = 'attack/T1046' },
                sources = haka.alert.address(pkt.src),
                targets = haka.alert.address(pkt.dst),
            }
        end
    end,
}
