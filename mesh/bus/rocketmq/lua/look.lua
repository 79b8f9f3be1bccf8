-- Answers whether the queue is known, how many messages a receive may expect, and the version of that.
ripen()
return {redis.call('SISMEMBER', queues, queue), count('ready'), count('version')}
