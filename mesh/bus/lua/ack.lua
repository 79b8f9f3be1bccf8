-- ARGV: 3... pairs of stream id and delivery. Answers how many were settled.
local ids = {}
for position = 3, #ARGV, 2 do
  if holds(ARGV[position], ARGV[position + 1]) then ids[#ids + 1] = ARGV[position] end
end
if #ids > 0 then
  remove(ids)
  deadlines_changed()
end
return #ids
