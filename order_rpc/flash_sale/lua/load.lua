-- KEYS: as admit.lua. ARGV: 1 the version that this replaces, or empty; 2 revision, 3 brand, 4 ms until the start, 5 ms
-- until the end, 6 how many are left, 7 limit of a user, 8 ms to keep it, 9 whether it is taken (1) if nothing is here
-- (0: not); then pairs of user and request that hold one.
-- Replaces what is here if it is of that version or of an older revision. Answers whether it did, or took it.
local known = redis.call('HMGET', KEYS[1], 'version', 'revision')
local is_older = known[1] and tonumber(known[2]) < tonumber(ARGV[2])
if not known[1] and ARGV[9] == '0' then return 0 end
if known[1] and known[1] ~= ARGV[1] and not is_older then return 0 end
redis.call('DEL', unpack(KEYS))
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- The version goes on from the clock, so that it does not come again after everything was lost.
local function whole(number) return string.format('%.0f', number) end
redis.call('HSET', KEYS[1], 'version', whole(now * 1000), 'revision', ARGV[2], 'brand', ARGV[3],
  'start', whole(now + ARGV[4]), 'end', whole(now + ARGV[5]), 'left', ARGV[6], 'limit', ARGV[7])
for position = 10, #ARGV, 2 do
  redis.call('HSET', KEYS[3], ARGV[position] .. ' ' .. ARGV[position + 1], 1)
  redis.call('HINCRBY', KEYS[2], ARGV[position], 1)
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[8]) end
return 1
