-- ARGV: 3... of each message the second until which it was hidden and the one in which it was published.
ripen()
for position = 3, #ARGV, 2 do
  take_back('f', ARGV[position], 1)
  age(ARGV[position + 1], -1)
end
if count('ready') <= 0 then due_by_first_time() end
