-- ARGV: 3 second until which the message was hidden, 4 second until which it is delayed or 0.
local delayed_until = tonumber(ARGV[4])
ripen()
take_back('f', ARGV[3], 1)
if delayed_until * 1000 > now then
  set_aside('d', ARGV[4], 1)
  if count('ready') <= 0 then due_by_first_time() end
else
  add('version', 1)
  add('ready', 1)
  due_by(now)
end
