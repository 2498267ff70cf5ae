-- Ten rules on every TCP segment, one comparison each.

require('protocol/tcp')

local received = haka.dissectors.tcp.events.receive_packet
local n = 0

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.dstport == 80 then n = n + 1 end
    end,
}

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.srcport == 80 then n = n + 1 end
    end,
}

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.dstport == 443 then n = n + 1 end
    end,
}

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.srcport == 22 then n = n + 1 end
    end,
}

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.seq == 0 then n = n + 1 end
    end,
}

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.window_size == 0 then n = n + 1 end
    end,
}

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.dstport > 60000 then n = n + 1 end
    end,
}

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.hdr_len > 40 then n = n + 1 end
    end,
}

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.ack_seq == 1 then n = n + 1 end
    end,
}

haka.rule {
    on = received,
    eval = function (pkt)
        if pkt.srcport < 1024 then n = n + 1 end
    end,
}

haka.rule {
    on = haka.events.exiting,
    eval = function ()
        print(n .. ' hits')
        n = 0
    end,
}
