-- KEYS: 1 items (list), 2 later (zset). ARGV: 1 wake channel, 2 shard, 3 most items, 4... items.
-- Answers whether the items were taken: all or none.
local items, later = KEYS[1], KEYS[2]
local waiting = redis.call('LLEN', items)
if waiting + redis.call('ZCARD', later) + #ARGV - 3 > tonumber(ARGV[3]) then return 0 end
for position = 4, #ARGV do redis.call('RPUSH', items, ARGV[position]) end
-- Whoever reads a list goes on until it is empty: only then can it need waking.
if waiting == 0 then redis.call('PUBLISH', ARGV[1], ARGV[2]) end
return 1
