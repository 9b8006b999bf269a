-- Stores a signal for the producer of an active stream, and notifies the nodes. Begins with
-- prolong.lua.
-- KEYS: 1 meta (hash)
--       2 signals (hash: generation, next number, bytes, number of the first `stop`; each signal by
--         its number; the number by sender and id; how many each sender sent)
--       3 notify (channel)  4 deadlines (sorted set, as in finish.lua)  5 events (stream)
--       6 index (sorted set)
-- ARGV: 1 stream key  2 generation that the stream must have, or ''  3 name of the signal
--       4 the signal as JSON  5 bytes that count  6 sender, or ''  7 the most signals
--       8 the most bytes of all signals  9 the most signals of this sender
--       10 ms that a producer has to follow a stop where the stream says nothing else
--       11 the sender's id of the signal, if any
-- Returns {number of the signal}, and as a second item the error of Redis where publishing failed.
-- Returns {} when there are too many. Returns nil when there is no stream, the status of a finished
-- one, and 'stale' when the stream has another generation. An error: the signal was not stored.
local meta = redis.call(
  'HMGET', KEYS[1], 'status', 'birth', 'ttl_ms', 'signals', 'grace_ms', 'listed_ms'
)
local is_active = meta[1] == 'active' or meta[1] == 'leased'
if not is_active or ARGV[2] ~= '' and ARGV[2] ~= meta[2] then
  -- As in append.lua: a replica must not refuse.
  redis.call('HDEL', KEYS[1], '')
  return meta[1] and ARGV[2] ~= '' and ARGV[2] ~= meta[2] and 'stale' or meta[1]
end
local has = redis.call('HMGET', KEYS[2], 'birth', 'next', 'bytes', 'stop')
if has[1] ~= meta[2] then
  if has[1] then
    -- Of an earlier stream. Redis may refuse the first write of a script, and no later one.
    redis.call('HSET', KEYS[2], 'birth', meta[2])
    redis.call('DEL', KEYS[2])
  end
  has = {meta[2], 1, 0, false}
end
local seq, bytes = tonumber(has[2]), tonumber(has[3]) + tonumber(ARGV[5])
local is_stop, sender = ARGV[3] == 'stop', 'n:' .. ARGV[6]
local id = ARGV[11] and 'i:' .. ARGV[6] .. '\n' .. ARGV[11]
local known = is_stop and has[4]
if id and not is_stop then
  known = redis.call('HGET', KEYS[2], id)
end
if known then
  return {tonumber(known)}
end
local sent = tonumber(redis.call('HGET', KEYS[2], sender) or 0)
if not is_stop and (
  seq > tonumber(ARGV[7]) or bytes > tonumber(ARGV[8]) or sent >= tonumber(ARGV[9])
) then
  return {}
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ms = string.format('%.0f', now)
local grace = is_stop and tonumber(meta[5] or ARGV[10]) or 0
-- `append.lua` renews the expiry of both from now on. It does so a little later than the ttl asks.
local expires = grace + math.floor(tonumber(meta[3]) * 1.02) + 12000
expires = math.max(expires, redis.call('PTTL', KEYS[1]) + 1000)
redis.call('HSET', KEYS[1], 'signals', is_stop and ms or meta[4] or 0)
if grace > 0 then
  redis.call('HSET', KEYS[1], 'stop_at', now + grace)
  -- Only earlier: another deadline may come first.
  redis.call('ZADD', KEYS[4], 'LT', now + grace, ARGV[1])
  -- The set is deleted when it has not been used for a while: a grace is at most a day.
  redis.call('PEXPIRE', KEYS[4], 259200000)
  -- The stream lives at least for its ttl after the deadline, and until a node has looked at it.
  prolong(ARGV[1], grace + tonumber(meta[3]) + 10000, now, meta[6], {
    meta = KEYS[1], events = KEYS[5], signals = KEYS[2], index = KEYS[6]
  })
end
local fields = {
  'birth', meta[2], 'next', seq + 1, 'bytes', bytes, seq, ms .. ' ' .. ARGV[4], sender, sent + 1
}
if is_stop then
  fields[#fields + 1], fields[#fields + 2] = 'stop', seq
end
if id then
  fields[#fields + 1], fields[#fields + 2] = id, seq
end
redis.call('HSET', KEYS[2], unpack(fields))
redis.call('PEXPIRE', KEYS[2], expires)
local published = redis.pcall('PUBLISH', KEYS[3], meta[2] .. ' signal')
return {seq, type(published) == 'table' and published.err or nil}
