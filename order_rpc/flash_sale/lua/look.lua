-- KEYS: as admit.lua. ARGV: 1 ms from which on what is pending is old, 2 how many of it to name.
-- Answers nothing when the sale is not here; else version, revision, how many are left, how many are pending, and then
-- the names of the old ones.
local state = redis.call('HMGET', KEYS[1], 'version', 'revision', 'left')
if not state[1] then return false end
local time = redis.call('TIME')
local old = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1])
local names = redis.call('ZRANGE', KEYS[4], '-inf', old, 'BYSCORE', 'LIMIT', 0, ARGV[2])
return {state[1], state[2], state[3], redis.call('ZCARD', KEYS[4]), unpack(names)}
