-- KEYS: 1 state (hash), 2 users (hash, user -> how many it holds), 3 requests (hash, "user request" -> 0 if it holds
-- none, else the call that admitted it, or 1), 4 pending (zset, "user request" -> when it was admitted, until its row is known
-- to be written).
-- ARGV: 1 brand, 2 lines of "user request", 3 a name for this call: the client makes it again when its answer was lost.
-- Answers nothing when the sale is not here; else a number a line: 0 admitted, 9 the request was seen before, and
-- otherwise why not (see Refusal in domain.py). What is refused changes nothing.
local state = redis.call('HMGET', KEYS[1], 'brand', 'start', 'end', 'left', 'limit')
if not state[1] then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local closed = (state[1] ~= ARGV[1] and 5) or (now < tonumber(state[2]) and 1) or (now >= tonumber(state[3]) and 2)
local left, limit = tonumber(state[4]), tonumber(state[5])
local users, names = {}, {}
for name, user in string.gmatch(ARGV[2], '((%d+) [^\n]+)') do
  names[#names + 1] = name
  users[#users + 1] = user
end
local counts = redis.call('HMGET', KEYS[2], unpack(users))
local seen = redis.call('HMGET', KEYS[3], unpack(names))
local held, taken, answers = {}, {}, {}
local new_users, new_requests, new_pending = {}, {}, {}
for position, user in ipairs(users) do
  local name = names[position]
  local count = held[user] or tonumber(counts[position] or 0)
  local answer = 0
  if taken[name] then answer = 9
  elseif seen[position] == ARGV[3] then taken[name] = true
  elseif seen[position] then answer = 9
  elseif closed then answer = closed
  elseif count >= limit then answer = 3
  elseif left < 1 then answer = 4
  else
    left = left - 1
    held[user], taken[name] = count + 1, true
    new_requests[#new_requests + 1] = name
    new_requests[#new_requests + 1] = ARGV[3]
    new_pending[#new_pending + 1] = now
    new_pending[#new_pending + 1] = name
  end
  answers[position] = answer
end
if #new_requests > 0 then
  for user, count in pairs(held) do
    new_users[#new_users + 1] = user
    new_users[#new_users + 1] = count
  end
  redis.call('HSET', KEYS[1], 'left', left)
  redis.call('HINCRBY', KEYS[1], 'version', 1)
  redis.call('HSET', KEYS[2], unpack(new_users))
  redis.call('HSET', KEYS[3], unpack(new_requests))
  redis.call('ZADD', KEYS[4], unpack(new_pending))
  local rest = redis.call('PTTL', KEYS[1])
  for number = 2, 4 do redis.call('PEXPIRE', KEYS[number], rest) end
end
return answers
