-- Answers how many messages are ready, in flight and delayed, and the age (ms) of the oldest.
ripen()
local oldest = redis.call('ZRANGE', ages, 0, 0)[1]
local age = oldest and math.max(0, now - oldest * 1000) or 0
return {math.max(0, count('ready')), count('flight'), count('delayed'), age}
