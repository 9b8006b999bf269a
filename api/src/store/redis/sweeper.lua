-- Asks for the work of this second: one node at a time looks for streams whose deadlines have
-- passed. If the node gets the work, it also gets the streams.
-- KEYS: 1 sweeper (hash: the node that has the work, until when; when a node last asked, and since
--         when nodes have asked without a break, all in ms)
--       and, not on a Cluster, all sets of deadlines (as in finish.lua)
-- ARGV: 1 this node  2 ms after which another node takes over  3 the most streams of a set
--       4 ms without a question that are a break
-- Returns {1 if it is this node's work or 0, time in ms, ms since the last break, {stream key, …}}.
local sweeper = redis.call('HMGET', KEYS[1], 'node', 'until', 'last', 'since')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local last, since = tonumber(sweeper[3]), tonumber(sweeper[4])
if not last or math.abs(now - last) > tonumber(ARGV[4]) then
  since = now
end
local is_free = not sweeper[2] or tonumber(sweeper[2]) < now
local node = (is_free or sweeper[1] == ARGV[1]) and ARGV[1] or sweeper[1]
local is_ours = node == ARGV[1]
redis.call(
  'HSET', KEYS[1], 'node', node, 'until', is_ours and now + tonumber(ARGV[2]) or sweeper[2],
  'last', now, 'since', since
)
-- Longer than a break. A key that is gone counts as one.
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[4])
local due = {}
if is_ours then
  for set = 2, #KEYS do
    for _, key in ipairs(
      redis.call('ZRANGEBYSCORE', KEYS[set], '-inf', now, 'LIMIT', 0, ARGV[3])
    ) do
      due[#due + 1] = key
    end
  end
end
return {is_ours and 1 or 0, now, now - since, due}
