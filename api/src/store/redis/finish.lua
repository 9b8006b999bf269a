-- Writes the last event of an active stream, records its status, and publishes both.
-- KEYS: 1 events (stream)  2 meta (hash)  3 index (sorted set)  4 live (channel)
-- ARGV: 1 stream key  2 name of the last event  3 status  4 the event as a batch, as for append.lua
-- Returns {ms, number of the last event}, or nil when no stream is active.
local meta = redis.call('HMGET', KEYS[2], 'status', 'last_ms', 'next', 'ttl_ms', 'birth')
if meta[1] ~= 'active' then
  return false
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ms = string.format('%.0f', math.max(now, tonumber(meta[2])))

redis.call('ZREM', KEYS[3], ARGV[1])
if not redis.call('XADD', KEYS[1], 'NOMKSTREAM', ms .. '-' .. meta[3], 'event', ARGV[2]) then
  -- Half a stream, after an eviction, is gone as a whole.
  redis.call('DEL', KEYS[2])
  return false
end
redis.call('HSET', KEYS[2], 'status', ARGV[3], 'last_ms', ms, 'next', string.format('%.0f', meta[3] + 1))
redis.call('PEXPIRE', KEYS[1], meta[4])
redis.call('PEXPIRE', KEYS[2], meta[4])
redis.call('PUBLISH', KEYS[4], meta[5] .. ' ' .. ARGV[3] .. ' ' .. ms .. ' ' .. meta[3] .. '\n' .. ARGV[4])
return {ms, meta[3]}
