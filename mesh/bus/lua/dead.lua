-- KEYS: 6 stream of the dead letters. ARGV: 3 stream id, 4 delivery, 5 envelope with the reason, 6 dead-letter queue.
local id, delivery = ARGV[3], tonumber(ARGV[4])
if not holds(id, delivery) then return end
local entry = redis.call('XRANGE', stream, id, id)[1]
remove({id})
if entry then
  local fields = entry[2]
  redis.call('XADD', KEYS[6], '*', 'a', tonumber(fields[2]) + delivery, 'p', fields[4], 'm', ARGV[5])
  redis.call('SADD', queues, ARGV[6])
end
deadlines_changed()
