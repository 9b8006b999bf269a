-- Writes a batch to an active stream, all of it or nothing, and publishes it.
-- KEYS: 1 events (stream)  2 meta (hash)  3 index (sorted set)  4 live (channel)
-- ARGV: 1 stream key  2 the batch: for each event the length of its name, one more than the length of its data or 0 without
--       data (both 4 bytes, big-endian), name, data
-- Returns {ms, number of the first event}, or nil when no stream is active.
local meta = redis.call('HMGET', KEYS[2], 'status', 'last_ms', 'next', 'ttl_ms', 'max_events', 'listed_ms', 'birth')
if meta[1] ~= 'active' then
  return false
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- The clock may go back; ids may not.
local ms = string.format('%.0f', math.max(now, tonumber(meta[2])))
local first = tonumber(meta[3])
local batch = ARGV[2]

local n, at = first, 1
while at <= #batch do
  local name, data, from = struct.unpack('>I4I4', batch, at)
  local id = ms .. '-' .. string.format('%.0f', n)
  at = from + name
  local added
  if data > 0 then
    added = redis.call('XADD', KEYS[1], 'NOMKSTREAM', id, 'event', batch:sub(from, at - 1), 'data', batch:sub(at, at + data - 2))
    at = at + data - 1
  else
    added = redis.call('XADD', KEYS[1], 'NOMKSTREAM', id, 'event', batch:sub(from, at - 1))
  end
  if not added then
    -- Half a stream, after an eviction, is gone as a whole.
    redis.call('DEL', KEYS[2])
    redis.call('ZREM', KEYS[3], ARGV[1])
    return false
  end
  n = n + 1
end

local keep = tonumber(meta[5])
if n > keep then
  redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', keep, 'LIMIT', 0)
end
redis.call('PEXPIRE', KEYS[1], meta[4])
redis.call('PEXPIRE', KEYS[2], meta[4])
if now + meta[4] > tonumber(meta[6]) then
  -- Written ahead, so that a busy stream pays for its place in the index once in a quarter of its TTL.
  local listed = now + meta[4] * 1.25 + 1000
  redis.call('HSET', KEYS[2], 'listed_ms', string.format('%.0f', listed))
  redis.call('ZADD', KEYS[3], listed, ARGV[1])
  if redis.call('PTTL', KEYS[3]) < listed - now then
    redis.call('PEXPIREAT', KEYS[3], string.format('%.0f', listed))
  end
end
if n > first then
  -- Only with an event: the two are its id.
  redis.call('HSET', KEYS[2], 'last_ms', ms, 'next', string.format('%.0f', n))
  redis.call('PUBLISH', KEYS[4], meta[7] .. ' active ' .. ms .. ' ' .. meta[3] .. '\n' .. batch)
end
return {ms, meta[3]}
