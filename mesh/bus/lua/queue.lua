-- The head of every script that works on one queue of the streams bus.
--
-- KEYS, all of one bucket, so that one script may change them together:
--   1 stream    messages that are ready or in flight: fields a (attempts made before), p (published at, ms), m (envelope)
--   2 hidden    zset, stream id -> until when (ms) the message in flight is hidden from other consumers
--   3 delayed   zset, "attempts published envelope" -> when (ms) the message becomes ready
--   4 due       zset of the bucket, queue -> when (ms) a receive may find something; a queue with nothing is not in it
--   5 queues    set of the bucket's queues
-- ARGV: 1 queue, 2 wake channel; the channel is empty for dead letters, which nobody waits for.
--
-- What always holds: a queue with undelivered messages is due now or earlier, and a queue with hidden or delayed
-- messages is due no later than the first of them. Being due too early costs one empty receive, which corrects it.
local stream, hidden, delayed, due, queues = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local queue, channel = ARGV[1], ARGV[2]
local group, consumer = 'workers', 'worker'

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function append(attempts, published_at, envelope)
  redis.call('XADD', stream, '*', 'a', attempts, 'p', published_at, 'm', envelope)
end

local function postpone(at, attempts, published_at, envelope)
  redis.call('ZADD', delayed, at, string.format('%d %d ', attempts, published_at) .. envelope)
end

local function due_by(at)
  if channel == '' then return end
  local known = redis.call('ZSCORE', due, queue)
  if known and tonumber(known) <= at then return end
  redis.call('ZADD', due, at, queue)
  if at <= now then redis.call('PUBLISH', channel, queue) end
end

-- For when nothing undelivered is left: only what is hidden or delayed can make the queue due.
local function due_by_first_deadline()
  if channel == '' then return end
  local first
  for _, key in ipairs({hidden, delayed}) do
    local at = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
    if at and (not first or at < first) then first = at end
  end
  if first then
    redis.call('ZADD', due, first, queue)
  else
    redis.call('ZREM', due, queue)
  end
end

local function deadlines_changed()
  local known = redis.call('ZSCORE', due, queue)
  if known and tonumber(known) > now then due_by_first_deadline() end
end

-- A handle names a message and which of its deliveries: a consumer that lost the message holds an old one.
local function holds(id, delivery)
  local pending = redis.pcall('XPENDING', stream, group, id, id, 1)
  return not pending.err and pending[1] ~= nil and pending[1][4] == tonumber(delivery)
end

local function remove(ids)
  redis.call('XACK', stream, group, unpack(ids))
  redis.call('XDEL', stream, unpack(ids))
  redis.call('ZREM', hidden, unpack(ids))
end
