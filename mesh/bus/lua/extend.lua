-- ARGV: 3 visibility in ms, 4... pairs of stream id and delivery.
local hidden_until = now + tonumber(ARGV[3])
for position = 4, #ARGV, 2 do
  if holds(ARGV[position], ARGV[position + 1]) then
    redis.call('ZADD', hidden, hidden_until, ARGV[position])
  end
end
deadlines_changed()
