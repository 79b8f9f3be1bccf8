-- The head of every script that works on the hints about one queue of the RocketMQ bus.
--
-- KEYS, all with one hash tag:
--   1 counts    hash: ready, flight, delayed, misses (times in a row that the queue was empty and ready said otherwise),
--               version (grows with each message that becomes ready before its time), and f<second>, d<second>: how many
--               are hidden until then, or delayed until then
--   2 times     zset, f<second> and d<second> by second
--   3 published hash, second -> how many unsettled messages were published in it
--   4 ages      zset, those seconds
--   5 due       zset, queue -> when (ms) a receive may find something; a queue with nothing is not in it
--   6 queues    set of all queues
-- ARGV: 1 queue, 2 wake channel; the channel is empty for dead letters, which nobody waits for.
--
-- The messages are the brokers'. What is here may be lost or wrong: too much costs looks in vain, which correct it,
-- too little is found by the slow look. Sums may be below 0 for a moment: a consumer can be quicker than the publisher,
-- who counts what a broker has taken already.
local counts, times, published, ages, due, queues = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local queue, channel = ARGV[1], ARGV[2]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function count(field)
  return tonumber(redis.call('HGET', counts, field) or 0)
end

local function add(field, number)
  return redis.call('HINCRBY', counts, field, number)
end

local function due_by(at)
  if channel == '' then return end
  local known = redis.call('ZSCORE', due, queue)
  if known and tonumber(known) <= at then return end
  redis.call('ZADD', due, at, queue)
  if at <= now then redis.call('PUBLISH', channel, queue) end
end

-- For when nothing is ready: only what is hidden or delayed can make the queue due.
local function due_by_first_time()
  if channel == '' then return end
  local first = redis.call('ZRANGE', times, 0, 0, 'WITHSCORES')[2]
  if first then
    redis.call('ZADD', due, first * 1000, queue)
  else
    redis.call('ZREM', due, queue)
  end
end

local totals = {f = 'flight', d = 'delayed'}

local function set_aside(kind, second, number)
  add(totals[kind], number)
  if add(kind .. second, number) == number then redis.call('ZADD', times, second, kind .. second) end
end

-- Takes messages from those set aside until `second`; where that time has passed, from the ready ones.
local function take_back(kind, second, number)
  local field = kind .. second
  local left = count(field)
  if left < number then
    add('ready', left - number)
    number = left
  end
  if number == 0 then return end
  add(totals[kind], -number)
  if add(field, -number) == 0 then
    redis.call('HDEL', counts, field)
    redis.call('ZREM', times, field)
  end
end

local function ripen()
  for _, field in ipairs(redis.call('ZRANGE', times, '-inf', now / 1000, 'BYSCORE')) do
    local number = count(field)
    add('ready', number)
    add(totals[string.sub(field, 1, 1)], -number)
    redis.call('HDEL', counts, field)
    redis.call('ZREM', times, field)
  end
end

-- Notes more, or fewer, unsettled messages of a second.
local function age(second, number)
  local left = redis.call('HINCRBY', published, second, number)
  if left > 0 then
    redis.call('ZADD', ages, second, second)
  else
    redis.call('ZREM', ages, second)
    if left == 0 then redis.call('HDEL', published, second) end
  end
end
