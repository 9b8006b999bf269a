-- Gives the producer of a stream that is asked to stop more time, once.
-- KEYS: 1 meta (hash)  2 deadlines (sorted set, as in finish.lua)  3 events (stream)
--       4 signals (hash, as in signal.lua)
-- ARGV: 1 stream key  2 generation that the stream must have, or ''  3 '1' to restart the grace
--       4 ms that a producer has to follow a stop where the stream says nothing else
-- Returns {time in ms until which the producer has to follow the stop, or 0}. Returns nil when
-- there is no stream, the status of a finished one, and 'stale' when the stream has another
-- generation. An error: nothing was written.
local meta = redis.call(
  'HMGET', KEYS[1], 'status', 'birth', 'ttl_ms', 'stop_at', 'grace_ms', 'stop_acked'
)
if meta[1] ~= 'active' or ARGV[2] ~= '' and ARGV[2] ~= meta[2] then
  -- As in append.lua: a replica must not refuse.
  redis.call('HDEL', KEYS[1], '')
  return meta[1] and ARGV[2] ~= '' and ARGV[2] ~= meta[2] and 'stale' or meta[1]
end
if ARGV[3] ~= '1' or not meta[4] or meta[6] then
  return {tonumber(meta[4] or 0)}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local grace = tonumber(meta[5] or ARGV[4])
-- As in signal.lua.
local lives = grace + tonumber(meta[3]) + 10000
-- First a write that a full Redis refuses. After it Redis lets the script go on.
redis.call('HSET', KEYS[1], 'stop_at', now + grace, 'stop_acked', 1)
redis.call('ZADD', KEYS[2], now + grace, ARGV[1])
redis.call('PEXPIRE', KEYS[2], 259200000)
for _, key in ipairs({KEYS[1], KEYS[3], KEYS[4]}) do
  if redis.call('PTTL', key) < lives then
    redis.call('PEXPIRE', key, lives)
  end
end
return {now + grace}
