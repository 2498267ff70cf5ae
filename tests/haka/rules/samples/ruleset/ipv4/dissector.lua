ipv4 = require('protocol/ipv4')
