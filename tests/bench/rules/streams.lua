-- No rule, but the dissectors of connections are asked for.

require('protocol/tcp_connection')
require('protocol/udp_connection')
