-- KEYS: 1 items, 2 later, 3 lease. ARGV: 1 token, 2 number of items handled, 3... pairs of delay in ms and item to come again.
-- Answers whether the lease was still this token's; if not, nothing changed, and the items are handled again.
local items, later, lease = KEYS[1], KEYS[2], KEYS[3]
if redis.call('GET', lease) ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('LTRIM', items, ARGV[2], -1)
for position = 3, #ARGV, 2 do
  redis.call('ZADD', later, now + tonumber(ARGV[position]), ARGV[position + 1])
end
redis.call('DEL', lease)
return 1
