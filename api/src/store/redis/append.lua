-- Writes a batch to an active stream, all of it or nothing, and publishes it. Of a producer's batch, what is there already is
-- not written again.
-- KEYS: 1 events (stream)  2 meta (hash)  3 index (sorted set)  4 live (channel)
-- ARGV: 1 stream key  2 the batch: for each event the length of its name, one more than the length of its data or 0 without
--       data (both 4 bytes, big-endian), name, data  3 producer, if any  4 its events before the batch  5 producers at the most
-- Returns {ms, number of the first event written, events not written again}; nil when no stream is active; {how many events of
-- the producer there are} when some before the batch are missing; {} when there are too many producers.
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

local duplicates, had = 0, 0
if ARGV[3] then
  local known = redis.call('HGET', KEYS[2], 'p:' .. ARGV[3])
  -- The other fields are eight.
  if not known and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[5]) + 8 then
    return {}
  end
  had = tonumber(known or 0)
  duplicates = had - tonumber(ARGV[4])
  if duplicates < 0 then
    return {string.format('%.0f', had)}
  end
end

local n, at, skipped = first, 1, 0
while skipped < duplicates and at <= #batch do
  local name, data = struct.unpack('>I4I4', batch, at)
  at = at + 8 + name + math.max(data - 1, 0)
  skipped = skipped + 1
end
local fresh = at
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
if ARGV[3] then
  redis.call('HSET', KEYS[2], 'p:' .. ARGV[3], string.format('%.0f', math.max(had, tonumber(ARGV[4]) + skipped + n - first)))
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
  redis.call('PUBLISH', KEYS[4], meta[7] .. ' active ' .. ms .. ' ' .. meta[3] .. '\n' .. (fresh > 1 and batch:sub(fresh) or batch))
end
return {ms, meta[3], string.format('%.0f', skipped)}
