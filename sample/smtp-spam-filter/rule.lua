-- SMTP spam filter: points for the sender, the subject, words and links.
--
-- Detects: unsolicited mail, by what it says and where it points to. Each
--   thing found gives points; from `LIMIT` points on the mail is refused.
-- Wrong when: wanted mail talks of the same things. Raise `LIMIT`, or name its
--   domain in `TRUSTED`.
-- Does: an alert that names what was found; the connection is dropped before
--   the line that ends the mail, so that the server never takes it.
-- Not read: encoded parts (base64, quoted-printable), mail after STARTTLS.

require('protocol/smtp')
local pcre = require('regexp/pcre').re

local smtp = haka.dissectors.smtp

local LIMIT = 5
-- Bytes of a mail that are looked at.
local READ = 64 * 1024
local TRUSTED = { ['example.com'] = true }
local DISREPUTABLE = { ['cheap.example'] = 3, ['winner.example'] = 3 }

local function pattern(text, points)
  return { text = text, points = points, re = pcre:compile(text, pcre.CASE_INSENSITIVE) }
end

local SUBJECTS = { pattern('you (have )?won', 3), pattern('urgent|act now', 2), pattern('!!!', 1) }
local WORDS = { pattern('free +money', 3), pattern('no +risk', 2), pattern('click here', 1) }
-- A link to a bare address, or with a name in front of another host.
local LINKS = { pattern('https?://[0-9.]+[/:]', 3), pattern('https?://[^/ @]+@', 3) }

-- Points and reasons by connection; forgotten with it.
local scores = setmetatable({}, { __mode = 'k' })

local function found(flow, points, reason)
  local score = scores[flow]
  score.points = score.points + points
  score[#score + 1] = reason
end

local function search(flow, text, patterns, where)
  for _, p in ipairs(patterns) do
    if p.re:match(text) then found(flow, p.points, where .. ': ' .. p.text) end
  end
end

-- The sender ------------------------------------------------------------------

local sender = haka.rule_group {
  on = smtp.events.command,
  init = function (flow, command)
    if command.command:upper() == 'MAIL' or not scores[flow] then scores[flow] = { points = 0 } end
  end,
  -- A rule that returns true knows the sender: no other is asked.
  continue = function (known) return not known end,
}

local function domain_of(command)
  if command.command:upper() ~= 'MAIL' then return nil end
  return (command.parameter or ''):lower():match('from:%s*<[^>]*@([^>]*)>')
end

sender:rule { eval = function (flow, command)
  local domain = domain_of(command)
  if domain and TRUSTED[domain] then scores[flow].trusted = true return true end
end }

sender:rule { eval = function (flow, command)
  local points = DISREPUTABLE[domain_of(command) or '']
  if points then found(flow, points, 'sender: ' .. domain_of(command)) return true end
end }

-- The mail --------------------------------------------------------------------

local function judge(flow, mail)
  local head = mail:match('^(.-)\r\n\r\n') or mail
  search(flow, ('\n' .. head):match('\n[Ss]ubject:%s*([^\r\n]*)') or '', SUBJECTS, 'subject')
  search(flow, mail, WORDS, 'word')
  search(flow, mail, LINKS, 'link')
end

haka.rule {
  on = smtp.events.mail_content,
  options = { streamed = true },
  eval = function (flow, iter)
    local score, parts, size = scores[flow], {}, 0
    for sub in iter:foreach_available() do
      if size < READ then parts[#parts + 1] = sub:asstring() end
      size = size + #sub
    end
    -- All of it is there; its end has not left yet.
    if not score or score.trusted then return end
    judge(flow, table.concat(parts))
    if score.points < LIMIT then return end
    haka.alert {
      severity = 'medium',
      confidence = 'low',
      description = string.format('spam, %d points: %s', score.points, table.concat(score, ', ')),
      sources = haka.alert.address(flow.srcip),
      targets = { haka.alert.address(flow.dstip), haka.alert.service('smtp') },
    }
    flow:drop()
  end,
}
