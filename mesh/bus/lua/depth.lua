-- Answers ready, in flight, delayed, and the age of the oldest in ms, looked for among the first thousand of each kind.
local function oldest(entries, published_at)
  local first = now
  for _, entry in ipairs(entries) do first = math.min(first, tonumber(published_at(entry))) end
  return first
end

local scan_max = 1000
local first = math.min(
  oldest(redis.call('XRANGE', stream, '-', '+', 'COUNT', scan_max), function(entry) return entry[2][4] end),
  oldest(redis.call('ZRANGE', delayed, 0, scan_max - 1), function(member) return string.match(member, '^%d+ (%d+)') end)
)
local expired = redis.call('ZCOUNT', hidden, '-inf', now)
local in_flight = redis.call('ZCARD', hidden) - expired
local ripe = redis.call('ZCOUNT', delayed, '-inf', now)
local ready = redis.call('XLEN', stream) - in_flight + ripe
return {math.max(ready, 0), in_flight, redis.call('ZCARD', delayed) - ripe, now - first}
