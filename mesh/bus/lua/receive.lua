-- ARGV: 3 most messages, 4 visibility in ms.
-- Answers five values a message: stream id, which delivery of it, attempts before, published at, envelope.
local limit, hidden_until = tonumber(ARGV[3]), now + tonumber(ARGV[4])
local ripe_max = 500
local taken = {}

local function in_group(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'NOGROUP', 1, true) then return error(reply) end
    redis.call('XGROUP', 'CREATE', stream, group, '0')
    reply = redis.call(...)
  end
  return reply
end

local function take(entry, delivery)
  local fields = entry[2]
  local size = #taken
  taken[size + 1], taken[size + 2] = entry[1], delivery
  taken[size + 3], taken[size + 4], taken[size + 5] = fields[2], fields[4], fields[6]
  redis.call('ZADD', hidden, hidden_until, entry[1])
end

local function ripen()
  local ripe = redis.call('ZRANGE', delayed, '-inf', now, 'BYSCORE', 'LIMIT', 0, ripe_max)
  for _, member in ipairs(ripe) do
    redis.call('ZREM', delayed, member)
    local attempts, published_at, start = string.match(member, '^(%d+) (%d+) ()')
    append(attempts, published_at, string.sub(member, start))
  end
  return #ripe
end

local function reclaim()
  local expired = redis.call('ZRANGE', hidden, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
  for _, id in ipairs(expired) do
    local entry = in_group('XCLAIM', stream, group, consumer, 0, id)[1]
    if entry then
      take(entry, redis.call('XPENDING', stream, group, id, id, 1)[1][4])
    else
      redis.call('ZREM', hidden, id)
    end
  end
end

-- Answers whether the queue has no more to read, so that a queue just emptied is not due again for nothing.
local function read(count)
  local reply = in_group('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, '>')
  if not reply then return true end
  local entries = reply[1][2]
  for _, entry in ipairs(entries) do take(entry, 1) end
  return #entries < count or #redis.call('XRANGE', stream, '(' .. entries[count][1], '+', 'COUNT', 1) == 0
end

local ripened = ripen()
if redis.call('EXISTS', stream) == 0 then
  redis.call('DEL', hidden)
  due_by_first_deadline()
  return taken
end
reclaim()
local room = limit - #taken / 5
local exhausted = room > 0 and read(room)
if exhausted and ripened < ripe_max then
  due_by_first_deadline()
elseif channel ~= '' then
  redis.call('ZADD', due, now, queue)
end
return taken
