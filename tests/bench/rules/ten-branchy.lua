-- Ten rules on every TCP segment that branch as real ones do: three fields,
-- a look-up in a table, a comparison of addresses.

local ip = require('protocol/ip')
require('protocol/ipv4')
require('protocol/tcp')

local received = haka.dissectors.tcp.events.receive_packet
local n = 0

local ports_1 = { [80] = true, [8080] = true }
local host_1 = ip.addr('10.2.0.1')

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.flags.syn and pkt.window_size > 0 then
            if ports_1[pkt.dstport] then
                if pkt.dst == host_1 then n = n + 1 end
            elseif pkt.srcport < 1024 then
                n = n + 2
            end
        end
    end,
}

local ports_2 = { [443] = true, [80] = true }
local host_2 = ip.addr('10.2.0.8')

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.flags.ack and pkt.window_size > 100 then
            if ports_2[pkt.srcport] then
                if pkt.src == host_2 then n = n + 1 end
            elseif pkt.dstport < 1024 then
                n = n + 2
            end
        end
    end,
}

local ports_3 = { [20002] = true, [80] = true }
local host_3 = ip.addr('10.2.0.15')

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.flags.psh and pkt.window_size > 200 then
            if ports_3[pkt.dstport] then
                if pkt.dst == host_3 then n = n + 1 end
            elseif pkt.srcport < 1024 then
                n = n + 2
            end
        end
    end,
}

local ports_4 = { [25] = true, [587] = true }
local host_4 = ip.addr('10.2.0.22')

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.flags.fin and pkt.window_size > 300 then
            if ports_4[pkt.srcport] then
                if pkt.src == host_4 then n = n + 1 end
            elseif pkt.dstport < 1024 then
                n = n + 2
            end
        end
    end,
}

local ports_5 = { [80] = true, [81] = true }
local host_5 = ip.addr('10.2.0.29')

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.flags.ack and pkt.window_size > 400 then
            if ports_5[pkt.dstport] then
                if pkt.dst == host_5 then n = n + 1 end
            elseif pkt.srcport < 1024 then
                n = n + 2
            end
        end
    end,
}

local ports_6 = { [22] = true, [80] = true }
local host_6 = ip.addr('10.2.0.36')

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.flags.rst and pkt.window_size > 500 then
            if ports_6[pkt.srcport] then
                if pkt.src == host_6 then n = n + 1 end
            elseif pkt.dstport < 1024 then
                n = n + 2
            end
        end
    end,
}

local ports_7 = { [53] = true, [80] = true }
local host_7 = ip.addr('10.2.0.43')

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.flags.ack and pkt.window_size > 600 then
            if ports_7[pkt.dstport] then
                if pkt.dst == host_7 then n = n + 1 end
            elseif pkt.srcport < 1024 then
                n = n + 2
            end
        end
    end,
}

local ports_8 = { [3128] = true, [80] = true }
local host_8 = ip.addr('10.2.0.50')

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.flags.syn and pkt.window_size > 700 then
            if ports_8[pkt.srcport] then
                if pkt.src == host_8 then n = n + 1 end
            elseif pkt.dstport < 1024 then
                n = n + 2
            end
        end
    end,
}

local ports_9 = { [80] = true, [8000] = true }
local host_9 = ip.addr('10.2.0.57')

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.flags.ack and pkt.window_size > 800 then
            if ports_9[pkt.dstport] then
                if pkt.dst == host_9 then n = n + 1 end
            elseif pkt.srcport < 1024 then
                n = n + 2
            end
        end
    end,
}

local ports_10 = { [21] = true, [80] = true }
local host_10 = ip.addr('10.2.0.64')

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.flags.psh and pkt.window_size > 900 then
            if ports_10[pkt.srcport] then
                if pkt.src == host_10 then n = n + 1 end
            elseif pkt.dstport < 1024 then
                n = n + 2
            end
        end
    end,
}

haka.rule {
    on = haka.events.exiting,
    eval = function ()
        print(n .. ' hits')
        n = 0
    end,
}
