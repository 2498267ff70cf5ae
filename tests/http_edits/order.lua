-- What to do with a message: it says so itself, in the header `X-Edit`.
require('protocol/http')
local http = haka.dissectors.http
local order = {}

local heads = {}
function heads.Same() end
function heads.Added(message) message.headers['X-Added'] = 'by a rule' end
function heads.Removed(message) message.headers['X-Extra'] = nil end
function heads.StartLine(message, direction)
    if direction == 'up' then
        message.uri = '/quite/another/page?of=rules'
    else
        message.status, message.reason = '299', 'Elsewhere, as rules say'
    end
end

local function read(flow, message, direction)
    local key = 'order_' .. direction
    flow[key] = nil
    local text = message.headers['X-Edit']
    if not text then return end
    local at, len, written, size, head = text:match('(%d+) (%d+) (%d+) (%a+) (%a+)')
    heads[head](message, direction)
    if size == 'resized' then flow:enable_data_modification() end
    flow[key] = {
        at = tonumber(at), len = tonumber(len), written = tonumber(written),
        kept = size == 'kept', seen = 0,
    }
end

-- The order about the body under way in a direction.
function order.of(flow, direction) return rawget(flow, 'order_' .. direction) end

haka.rule {
    on = http.events.request,
    eval = function (flow, request) read(flow, request, 'up') end,
}

haka.rule {
    on = http.events.response,
    eval = function (flow, response) read(flow, response, 'down') end,
}

return order
