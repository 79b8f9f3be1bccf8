-- KEYS: 6 stream of the dead letters. ARGV: 3 most messages. Answers how many went back.
local entries = redis.call('XRANGE', KEYS[6], '-', '+', 'COUNT', ARGV[3])
for _, entry in ipairs(entries) do
  redis.call('XDEL', KEYS[6], entry[1])
  append('0', entry[2][4], entry[2][6])
end
if #entries > 0 then
  redis.call('SADD', queues, queue)
  due_by(now)
end
return #entries
