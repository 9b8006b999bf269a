-- Creates a stream, unless one is active.
-- KEYS: 1 events (stream)  2 meta (hash)
--       3 index (sorted set: stream key → a time in ms before which it has not expired)
-- ARGV: 1 stream key  2 generation  3 ttl in ms  4 events to keep
-- Returns the time of the event `start` in ms, or nil when a stream is active. An error: there is
-- no new stream.
local old = redis.call('HMGET', KEYS[2], 'status', 'last_ms')
if (old[1] == 'active' or old[1] == 'leased') and redis.call('EXISTS', KEYS[1]) == 1 then
  return false
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- All ids come after those of the replaced stream, so that no cursor fits both streams.
local ms = string.format('%.0f', math.max(now, (tonumber(old[2]) or -1) + 1))
local listed = now + ARGV[3] * 1.25 + 1000

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
-- The hash is written last, because the stream exists from then on.
local failed = must('DEL', KEYS[1], KEYS[2])
  or must('XADD', KEYS[1], ms .. '-0', 'event', 'start')
  or must('PEXPIRE', KEYS[1], ARGV[3])
  or must(
    'HSET', KEYS[2], 'status', 'active', 'birth', ARGV[2], 'created_ms', ms, 'last_ms', ms,
    'next', 1, 'ttl_ms', ARGV[3], 'max_events', ARGV[4],
    'listed_ms', string.format('%.0f', listed)
  )
  or must('PEXPIRE', KEYS[2], ARGV[3])
if failed then
  redis.pcall('DEL', KEYS[1], KEYS[2])
  return failed
end
-- If these fail, the index is larger than necessary, or lives longer.
redis.pcall('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local left = redis.pcall('PTTL', KEYS[3])
if type(left) == 'number' and left < listed - now then
  redis.pcall('PEXPIREAT', KEYS[3], string.format('%.0f', listed))
end
return ms
