-- KEYS: 1 items (list), 2 later (zset, item -> when (ms) it goes back to the list), 3 lease.
-- ARGV: 1 token, 2 lease in ms, 3 most items.
-- Answers the first items of the list, which the lease of this token now covers; nothing if another has the lease.
local items, later, lease = KEYS[1], KEYS[2], KEYS[3]
local due_max = 500
if redis.call('EXISTS', lease) == 1 then return {} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, item in ipairs(redis.call('ZRANGE', later, '-inf', now, 'BYSCORE', 'LIMIT', 0, due_max)) do
  redis.call('ZREM', later, item)
  redis.call('RPUSH', items, item)
end
local first = redis.call('LRANGE', items, 0, tonumber(ARGV[3]) - 1)
if #first > 0 then redis.call('SET', lease, ARGV[1], 'PX', ARGV[2]) end
return first
