-- ARGV: 3 how many messages, 4 second in which they are published, 5 second until which they are delayed or 0.
local number, second, delayed_until = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
redis.call('SADD', queues, queue)
age(second, number)
if delayed_until * 1000 > now then
  set_aside('d', ARGV[5], number)
  due_by(delayed_until * 1000)
else
  add('version', 1)
  add('ready', number)
  due_by(now)
end
