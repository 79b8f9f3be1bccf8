-- KEYS: sets of the orders that were counted for somebody. ARGV: 1 the order, 2 for how many seconds a set counts, from its
-- first order on; then how many each set may have.
-- Counts the order in all of them, or in none: answers 0, or the number of the first set that is full. What is counted
-- already, as the mail that is tried again, is counted once.
for number, key in ipairs(KEYS) do
  local is_counted = redis.call('SISMEMBER', key, ARGV[1]) == 1
  if not is_counted and redis.call('SCARD', key) >= tonumber(ARGV[number + 2]) then return number end
end
for _, key in ipairs(KEYS) do
  redis.call('SADD', key, ARGV[1])
  if redis.call('TTL', key) < 0 then redis.call('EXPIRE', key, ARGV[2]) end
end
return 0
