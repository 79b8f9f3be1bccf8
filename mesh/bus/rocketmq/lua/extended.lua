-- ARGV: 3 second until which the messages are hidden now, 4... those until which they were.
ripen()
for position = 4, #ARGV do take_back('f', ARGV[position], 1) end
set_aside('f', ARGV[3], #ARGV - 3)
if count('ready') <= 0 then due_by_first_time() end
