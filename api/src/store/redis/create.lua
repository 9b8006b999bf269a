-- Starts a stream, unless one is active.
-- KEYS: 1 events (stream)  2 meta (hash)  3 index (sorted set: stream key → a time, in ms, before which it has not expired)
-- ARGV: 1 stream key  2 birth mark  3 ttl in ms  4 events to keep
-- Returns the time of the event `start` in ms, or nil when a stream is active.
local old = redis.call('HMGET', KEYS[2], 'status', 'last_ms')
if old[1] == 'active' and redis.call('EXISTS', KEYS[1]) == 1 then
  return false
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- Ids of a stream that replaces another lie after all of the other's, so that no cursor fits both.
local ms = string.format('%.0f', math.max(now, (tonumber(old[2]) or -1) + 1))
local listed = now + ARGV[3] * 1.25 + 1000

-- First what a full Redis refuses: a script that has written is let go on, so as not to stop half-way.
redis.call('ZADD', KEYS[3], listed, ARGV[1])
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('XADD', KEYS[1], ms .. '-0', 'event', 'start')
redis.call('HSET', KEYS[2], 'status', 'active', 'birth', ARGV[2], 'created_ms', ms, 'last_ms', ms, 'next', 1,
  'ttl_ms', ARGV[3], 'max_events', ARGV[4], 'listed_ms', string.format('%.0f', listed))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if redis.call('PTTL', KEYS[3]) < listed - now then
  redis.call('PEXPIREAT', KEYS[3], string.format('%.0f', listed))
end
return ms
