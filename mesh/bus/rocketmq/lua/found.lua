-- ARGV: 3 how many messages the brokers have ready. Only ever makes a queue due: the looks that follow correct the rest.
redis.call('SADD', queues, queue)
ripen()
local number = tonumber(ARGV[3])
if number > 0 and count('ready') < number then
  add('version', 1)
  redis.call('HSET', counts, 'ready', number)
  due_by(now)
  return 1
end
return 0
