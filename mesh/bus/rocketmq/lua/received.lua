-- ARGV: 3 version at the look, 4 how many messages came, 5 second until which they are hidden, 6 whether the queue was
-- found empty, 7 most misses, 8 pause (ms) after the first.
local number, is_empty = tonumber(ARGV[4]), ARGV[6] == '1'
ripen()
if number > 0 then
  set_aside('f', ARGV[5], number)
  add('ready', -number)
  redis.call('HDEL', counts, 'misses')
end
local is_sure = is_empty and count('version') == tonumber(ARGV[3])
local ready = count('ready')
if is_sure and ready ~= 0 then
  local misses = add('misses', 1)
  if misses > tonumber(ARGV[7]) then
    redis.call('HDEL', counts, 'misses', 'ready')
    ready = 0
  elseif ready > 0 then
    if channel ~= '' then redis.call('ZADD', due, now + ARGV[8] * 2 ^ (misses - 1), queue) end
    return
  end
end
if is_sure and ready == 0 and count('flight') <= 0 and count('delayed') <= 0 then redis.call('DEL', published, ages) end
if ready > 0 then
  due_by(now)
else
  due_by_first_time()
end
