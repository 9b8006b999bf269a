-- Creates a stream, or takes the one that exists.
-- KEYS: 1 events (stream)  2 meta (hash)
--       3 index (sorted set: stream key → a time in ms before which it has not expired)
--       4 live (channel)  5 request (hash: id of the request that created the stream, generation)
--       6 notify (channel)  7 signals (hash, as in signal.lua)
--       8 deadlines (sorted set, as in finish.lua)
-- ARGV: 1 stream key  2 generation  3 ttl in ms  4 events to keep
--       5 what to do where an active stream has the key: 'error', 'attach' or 'replace'
--       6 the same where a finished stream has it
--       7 ms that the producer has to follow a stop, 0 for ever, or '' for the default
--       8 ms that the producer may be silent, 0 for ever  9 ms that it may write no event, or 0
--       10 id of the request, if any  11 how long a request may be repeated, in ms
-- Returns the time of the event `start` in ms; {status} of the stream that has the key, where that
-- is an error; or a stream that is taken: {generation, status, created_ms, last_ms, next, length,
-- pttl, first id, {}, signals and deadlines as in snapshot.lua, 1 if this request has created it or
-- else 0}. An error: there is no new stream.
local old = redis.call(
  'HMGET', KEYS[2], 'status', 'last_ms', 'birth', 'created_ms', 'next', 'ttl_ms', 'signals'
)
local is_active = old[1] == 'active' or old[1] == 'leased'
-- Redis may have evicted the events.
if old[1] and redis.call('EXISTS', KEYS[1]) == 1 then
  local choice = is_active and ARGV[5] or ARGV[6]
  local repeated = 0
  if ARGV[10] then
    local request = redis.call('HMGET', KEYS[5], 'id', 'birth')
    repeated = request[1] == ARGV[10] and request[2] == old[3] and 1 or 0
  end
  if repeated == 1 or choice == 'attach' then
    local length = redis.call('XLEN', KEYS[1])
    local ttl = math.min(redis.call('PTTL', KEYS[2]), tonumber(old[6]))
    local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
    local deadlines = old[1] == 'leased'
      and redis.call('HMGET', KEYS[2], 'lease_ms', 'lease_at', 'stall_at')
    return {
      old[3], old[1], old[4], old[2], old[5], length, ttl, oldest[1][1], {}, old[7], deadlines,
      repeated
    }
  elseif choice == 'error' then
    return {old[1]}
  end
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- All ids come after those of the replaced stream, so that no cursor fits both streams.
local ms = string.format('%.0f', math.max(now, (tonumber(old[2]) or -1) + 1))
local lease, stall = tonumber(ARGV[8]), tonumber(ARGV[9])
local longest = math.max(lease, stall)
local lives = tonumber(ARGV[3])
if longest > 0 then
  -- As in prolong.lua.
  lives = lives + 2 * longest + 10000
end
local listed = now + lives * 1.25 + 1000

-- First a write that a full Redis refuses. After it Redis lets the script go on, so that it does
-- not stop half-way.
redis.call('ZADD', KEYS[3], listed, ARGV[1])

-- An error of Redis ends the script. The index must not list a stream that does not exist.
local function must(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    redis.pcall('ZREM', KEYS[3], ARGV[1])
    return answer
  end
end
if old[1] then
  -- These try the rights to write the new stream before the old one is deleted. They change
  -- nothing: Redis refuses the id 0-0, but checks the user's rights first.
  local failed = must('HSET', KEYS[2], 'status', old[1])
  if failed then
    return failed
  end
  local denied = redis.pcall('XADD', KEYS[1], '0-0', 'event', 'start')
  if type(denied) == 'table' and denied.err and not denied.err:find('0-0', 1, true) then
    redis.pcall('ZREM', KEYS[3], ARGV[1])
    return denied
  end
end
-- The hash is written last, because the stream exists from then on. Until then the request names a
-- generation that no stream has.
local failed
if ARGV[10] then
  failed = must('HSET', KEYS[5], 'id', ARGV[10], 'birth', ARGV[2])
    or must('PEXPIRE', KEYS[5], ARGV[11])
end
local rare, deadline = {}, nil
local function add(field, value)
  rare[#rare + 1], rare[#rare + 2] = field, value
end
if ARGV[7] ~= '' then
  add('grace_ms', ARGV[7])
end
for field, period in pairs({lease = lease, stall = stall}) do
  if period > 0 then
    add(field .. '_ms', period)
    add(field .. '_at', now + period)
    deadline = math.min(deadline or math.huge, now + period)
  end
end
if deadline then
  failed = failed
    or must('ZADD', KEYS[8], deadline, ARGV[1])
    or must('PEXPIRE', KEYS[8], 259200000)
end
failed = failed
  or must('DEL', KEYS[1], KEYS[2], KEYS[7])
  or must('XADD', KEYS[1], ms .. '-0', 'event', 'start')
  or must('PEXPIRE', KEYS[1], lives)
  or must(
    'HSET', KEYS[2], 'status', deadline and 'leased' or 'active', 'birth', ARGV[2],
    'created_ms', ms, 'last_ms', ms, 'next', 1, 'ttl_ms', ARGV[3], 'max_events', ARGV[4],
    'listed_ms', string.format('%.0f', listed), unpack(rare)
  )
  or must('PEXPIRE', KEYS[2], lives)
if failed then
  redis.pcall('DEL', KEYS[1], KEYS[2])
  return failed
end
if is_active then
  -- The subscribers and uploads of the stream that was replaced learn it at once.
  local batch = struct.pack('>I4I4', 5, 0) .. 'start'
  redis.pcall('PUBLISH', KEYS[4], ARGV[2] .. ' active ' .. ms .. ' 0\n' .. batch)
  redis.pcall('PUBLISH', KEYS[6], ARGV[2] .. ' active')
end
-- If these fail, the index is larger than necessary, or lives longer.
redis.pcall('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local left = redis.pcall('PTTL', KEYS[3])
if type(left) == 'number' and left < listed - now then
  redis.pcall('PEXPIREAT', KEYS[3], string.format('%.0f', listed))
end
return ms
