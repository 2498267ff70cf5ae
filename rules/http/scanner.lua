-- Web scanner: a tool that says its own name.
--
-- Detects          user agents of widespread scanners; those that give themselves another
--                  name stay unseen
-- Reference        ATT&CK T1595.002, Vulnerability Scanning
-- False positives  scans that you ordered: leave out their addresses by a policy
-- Action           alert (medium), drop the connection

require('protocol/http')
local rem = require('regexp/pcre')

local scanners = rem.re:compile(
    'nikto|sqlmap|nessus|openvas|nmap|masscan|zgrab|wpscan|dirbuster|gobuster|nuclei|acunetix',
    rem.re.CASE_INSENSITIVE)

haka.rule {
    on = haka.dissectors.http.events.request,
    eval = function (http, request)
        local agent = request.headers['User-Agent']
        if not agent or not scanners:match(agent) then return end

        haka.alert {
            severity = 'medium',
            description = string.format('web scanner: %s', agent),
            sources = haka.alert.address(http.srcip),
            targets = { haka.alert.address(http.dstip),
                haka.alert.service(string.format('tcp/%d', http.dstport), 'http') },
        }
        http:drop()
    end,
}
