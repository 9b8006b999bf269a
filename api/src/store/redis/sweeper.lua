-- Asks for the work of this second: one node at a time looks for streams whose deadlines have
-- passed. If the node gets the work, it also gets the streams.
-- KEYS: 1 sweeper (hash: the node that has the work)
--       and, not on a Cluster, all sets of deadlines (as in finish.lua)
-- ARGV: 1 this node  2 ms after which another node takes over  3 the most streams of a set
-- Returns {1 if it is this node's work or 0, time in ms, {stream key, …}}.
local sweeper = redis.call('HGET', KEYS[1], 'node')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if sweeper and sweeper ~= ARGV[1] then
  return {0, now, {}}
end
redis.call('HSET', KEYS[1], 'node', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local due = {}
for set = 2, #KEYS do
  for _, key in ipairs(
    redis.call('ZRANGEBYSCORE', KEYS[set], '-inf', now, 'LIMIT', 0, ARGV[3])
  ) do
    due[#due + 1] = key
  end
end
return {1, now, due}
