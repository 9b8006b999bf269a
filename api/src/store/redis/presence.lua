-- Sends this node's subscriber counts to the other nodes.
-- KEYS: the node's counts (hash: stream key → subscribers), and then the nodes that have
--       subscribers (sorted set: node → time of its last update). On a Cluster the two are on
--       different slots, and a call has only one of them.
-- ARGV: 1 which keys the call has: 'both', 'counts' or 'nodes'
--       2 the node  3 the time of the update in ms by the node's clock, or '' when the node has no
--       subscribers  4 the time before which a node's last update is forgotten
--       5 ms after which the set of nodes expires  6 ms after which the counts expire
--       7 'all' when the counts replace the earlier ones, 'changes' when they change them
--       8 and on: a stream key, and its subscribers; 0 removes the stream from the counts
-- Returns 1 when the node had counts before, else 0. After an error the node has the counts from
-- before, or none.
local counts = ARGV[1] ~= 'nodes' and KEYS[1]
local nodes = ARGV[1] ~= 'counts' and KEYS[#KEYS]

-- First a write that a full Redis refuses. After another write Redis would not refuse it.
if nodes then
  if ARGV[3] == '' then
    redis.call('ZREM', nodes, ARGV[2])
  else
    redis.call('ZADD', nodes, ARGV[3], ARGV[2])
  end
  redis.call('ZREMRANGEBYSCORE', nodes, '-inf', '(' .. ARGV[4])
  redis.call('PEXPIRE', nodes, ARGV[5])
end
if not counts then
  return 0
end

local existed = redis.call('EXISTS', counts)
-- After an error the counts are deleted: half of them would be wrong, and might never expire.
local function must(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    redis.pcall('DEL', counts)
    return answer
  end
end
local failed = ARGV[7] == 'all' and must('DEL', counts)
if failed then
  return failed
end
-- In parts, because Lua can't unpack tables of any size.
local changed, removed = {}, {}
local function write(fields, size, command)
  if #fields > size then
    failed = failed or must(command, counts, unpack(fields))
    return {}
  end
  return fields
end
for at = 8, #ARGV, 2 do
  if ARGV[at + 1] == '0' then
    removed[#removed + 1] = ARGV[at]
  else
    changed[#changed + 1], changed[#changed + 2] = ARGV[at], ARGV[at + 1]
  end
  removed = write(removed, 1000, 'HDEL')
  changed = write(changed, 1000, 'HSET')
end
write(removed, 0, 'HDEL')
write(changed, 0, 'HSET')
return failed or must('PEXPIRE', counts, ARGV[6]) or existed
