-- KEYS: as admit.lua. ARGV: triples of user, request, and what became of what it was admitted for:
-- kept (its row holds one of the stock), known (its row holds none), undone (there is no row),
-- limit (undone: the rows know of so many of this user already), gone (undone: the rows have none left).
-- Answers whether the sale is here. What was settled so before changes nothing.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for position = 1, #ARGV, 3 do
  local user, outcome = ARGV[position], ARGV[position + 2]
  local name = user .. ' ' .. ARGV[position + 1]
  local known = redis.call('HGET', KEYS[3], name)
  local holds = known and known ~= '0'
  redis.call('ZREM', KEYS[4], name)
  if outcome == 'kept' and not holds then
    -- What admitted it was lost, and was read from the rows just before this row was written.
    redis.call('HSET', KEYS[1], 'left', math.max(redis.call('HGET', KEYS[1], 'left') - 1, 0))
    redis.call('HINCRBY', KEYS[2], user, 1)
    redis.call('HSET', KEYS[3], name, 1)
  elseif outcome ~= 'kept' and holds then
    if outcome ~= 'gone' then redis.call('HINCRBY', KEYS[1], 'left', 1) end
    if outcome ~= 'limit' then redis.call('HINCRBY', KEYS[2], user, -1) end
    if outcome == 'known' then redis.call('HSET', KEYS[3], name, 0) else redis.call('HDEL', KEYS[3], name) end
  end
end
redis.call('HINCRBY', KEYS[1], 'version', 1)
local rest = redis.call('PTTL', KEYS[1])
for number = 2, 4 do redis.call('PEXPIRE', KEYS[number], rest) end
return 1
