-- KEYS: 1 due. ARGV: 1 most queues, 2 how many to leave out first, 3... prefixes.
-- Answers in how many ms the next queue becomes due (-1: none will), then the queues that are due.
local due, limit, skip = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local page = 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function wanted(queue)
  for position = 3, #ARGV do
    if string.sub(queue, 1, #ARGV[position]) == ARGV[position] then return true end
  end
  return false
end

local found, offset = {}, 0
repeat
  local queues = redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', offset, page)
  for _, queue in ipairs(queues) do
    if #found < limit and wanted(queue) then
      if skip > 0 then skip = skip - 1 else found[#found + 1] = queue end
    end
  end
  offset = offset + page
until #queues < page or #found >= limit
local next_at = tonumber(redis.call('ZRANGE', due, '(' .. string.format('%d', now), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')[2])
return {next_at and next_at - now or -1, unpack(found)}
