-- ARGV: 3 delay in ms, 4... envelopes.
local delay = tonumber(ARGV[3])
redis.call('SADD', queues, queue)
for position = 4, #ARGV do
  if delay == 0 then
    append('0', now, ARGV[position])
  else
    postpone(now + delay, 0, now + delay, ARGV[position])
  end
end
due_by(now + delay)
