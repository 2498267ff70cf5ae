tcp = require('protocol/tcp')
tcp_connection = require('protocol/tcp_connection')
