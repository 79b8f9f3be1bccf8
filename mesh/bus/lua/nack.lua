-- ARGV: 3 stream id, 4 delivery, 5 delay in ms.
local id, delivery, delay = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if not holds(id, delivery) then return end
local entry = redis.call('XRANGE', stream, id, id)[1]
remove({id})
if entry then
  local fields = entry[2]
  local attempts = tonumber(fields[2]) + delivery
  if delay == 0 then
    append(attempts, fields[4], fields[6])
  else
    postpone(now + delay, attempts, tonumber(fields[4]), fields[6])
  end
  due_by(now + delay)
end
deadlines_changed()
