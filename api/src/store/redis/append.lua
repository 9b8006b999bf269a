-- Writes a batch of events to an active stream, all of it or nothing, and publishes it. Of a
-- producer's batch it leaves out the events that are stored already.
-- KEYS: 1 events (stream)  2 meta (hash)  3 index (sorted set)  4 live (channel)
--       5 signals (hash, as in signal.lua)
-- ARGV: 1 stream key
--       2 the batch: for each event the length of its name, then 0 without data or else one more
--       than the length of its data, both in 4 bytes, big-endian; then name and data
--       3 events in the batch  4 generation that the stream must have, or ''
--       5 producer, if any  6 the number of its events before the batch  7 producers at the most
-- Returns {ms, number of the first event written, number of events that were stored already}, and
-- as a fourth item the error of Redis where trimming, listing or publishing failed. Returns nil
-- when there is no stream, the status of a finished one, 'stale' when the stream has another
-- generation, {number of the producer's events} when some before the batch are missing, and {} when
-- there are too many producers. An error: nothing was written.
local meta = redis.call(
  'HMGET', KEYS[2], 'status', 'last_ms', 'next', 'ttl_ms', 'max_events', 'listed_ms', 'birth',
  'signals'
)
local is_leased = meta[1] == 'leased'
if meta[1] ~= 'active' and not is_leased or ARGV[4] ~= '' and ARGV[4] ~= meta[7] then
  -- A replica refuses a write, even one that changes nothing. Its data may be old, so that it must
  -- not refuse the batch.
  redis.call('HDEL', KEYS[2], '')
  return meta[1] and ARGV[4] ~= '' and ARGV[4] ~= meta[7] and 'stale' or meta[1]
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- The clock may go back; ids may not.
local ms = string.format('%.0f', math.max(now, tonumber(meta[2])))
local first, ttl, keep = tonumber(meta[3]), tonumber(meta[4]), tonumber(meta[5])
local batch = ARGV[2]

local producer = ARGV[5] and 'p:' .. ARGV[5]
local had, skipped, fresh = 0, 0, 1
if producer then
  local known = redis.call('HGET', KEYS[2], producer)
  -- The hash has eight other fields, and some more that only few streams have.
  local room = tonumber(ARGV[7]) + 8
  if not known and redis.call('HLEN', KEYS[2]) >= room then
    local rare = redis.call(
      'HMGET', KEYS[2], 'signals', 'grace_ms', 'stop_at', 'stop_acked', 'lease_ms', 'lease_at',
      'stall_ms', 'stall_at'
    )
    for field = 1, 8 do
      room = room + (rare[field] and 1 or 0)
    end
    if redis.call('HLEN', KEYS[2]) >= room then
      return {}
    end
  end
  had = tonumber(known or 0)
  local duplicates = had - tonumber(ARGV[6])
  if duplicates < 0 then
    redis.call('HDEL', KEYS[2], '')
    return {string.format('%.0f', had)}
  end
  while skipped < duplicates and fresh <= #batch do
    local name, data = struct.unpack('>I4I4', batch, fresh)
    fresh = fresh + 8 + name + math.max(data - 1, 0)
    skipped = skipped + 1
  end
end
local count = tonumber(ARGV[3]) - skipped

-- Reads come before the first write, because an error of one ends the script.
local left = redis.call('PTTL', KEYS[2])
-- How long the stream lives from now on, and what changes in its hash.
local lives, changes = ttl, nil
if is_leased then
  local periods = redis.call('HMGET', KEYS[2], 'lease_ms', 'stall_ms')
  local lease, stall = tonumber(periods[1] or 0), tonumber(periods[2] or 0)
  -- As in prolong.lua.
  lives = ttl + 2 * math.max(lease, stall) + 10000
  changes = count > 0 and {'last_ms', ms, 'next', first + count} or {}
  if lease > 0 then
    changes[#changes + 1], changes[#changes + 2] = 'lease_at', now + lease
  end
  if stall > 0 and count > 0 then
    changes[#changes + 1], changes[#changes + 2] = 'stall_at', now + stall
  end
end

-- The stream's state comes first, because it can be restored. Events can't be removed. A full Redis
-- refuses this write too. After it Redis lets the script go on, so that it does not stop half-way.
if changes and changes[1] then
  redis.call('HSET', KEYS[2], unpack(changes))
elseif count > 0 then
  -- Only with an event, because the two are the id of the newest one.
  redis.call('HSET', KEYS[2], 'last_ms', ms, 'next', first + count)
end
if producer then
  local has = math.max(had, tonumber(ARGV[6]) + skipped + count)
  redis.call('HSET', KEYS[2], producer, string.format('%.0f', has))
end

-- The error of Redis, or false where it has evicted the events.
local failed
-- Not each of many writes renews the expiry. It costs two commands, which Redis also sends to its
-- replicas. So a stream lives up to a hundredth of its ttl longer, and a second at the most.
if left < lives then
  local longer = math.floor(lives + math.min(ttl / 100, 1000))
  local renewed = redis.pcall('PEXPIRE', KEYS[1], longer)
  if type(renewed) ~= 'table' then
    renewed = redis.pcall('PEXPIRE', KEYS[2], longer)
  end
  failed = type(renewed) == 'table' and renewed or nil
  if meta[8] and not failed then
    redis.pcall('PEXPIRE', KEYS[5], longer + 1000)
  end
end

local n, at = first, fresh
while failed == nil and at <= #batch do
  local name, data, from = struct.unpack('>I4I4', batch, at)
  local id, added = ms .. '-' .. n, nil
  at = from + name
  n = n + 1
  -- The last event of the batch trims the stream.
  if data > 0 and (n < first + count or n <= keep) then
    added = redis.pcall(
      'XADD', KEYS[1], 'NOMKSTREAM', id,
      'event', batch:sub(from, at - 1), 'data', batch:sub(at, at + data - 2)
    )
  else
    local event = {'event', batch:sub(from, at - 1)}
    if data > 0 then
      event[3], event[4] = 'data', batch:sub(at, at + data - 2)
    end
    if n < first + count or n <= keep then
      added = redis.pcall('XADD', KEYS[1], 'NOMKSTREAM', id, unpack(event))
    else
      added = redis.pcall(
        'XADD', KEYS[1], 'NOMKSTREAM', 'MAXLEN', '~', keep, 'LIMIT', 0, id, unpack(event)
      )
    end
  end
  at = at + math.max(data - 1, 0)
  if not added or type(added) == 'table' and added.err then
    -- An error can only be the first event's: Redis accepts either all events of a batch or none.
    failed = added
  end
end
if failed ~= nil then
  if count > 0 then
    redis.pcall('HSET', KEYS[2], 'last_ms', meta[2], 'next', meta[3])
  end
  if producer and had == 0 then
    redis.pcall('HDEL', KEYS[2], producer)
  elseif producer then
    redis.pcall('HSET', KEYS[2], producer, string.format('%.0f', had))
  end
  if not failed then
    -- Half a stream is worth nothing, so the rest is deleted too.
    redis.pcall('DEL', KEYS[2])
    redis.pcall('ZREM', KEYS[3], ARGV[1])
  end
  return failed
end

-- From here on an error of Redis is returned beside the result, which is stored.
local problem
if now + lives > tonumber(meta[6]) then
  -- Ahead of time, so that a busy stream writes to the index once in a quarter of its TTL.
  local listed = string.format('%.0f', now + lives * 1.25 + 1000)
  for _, command in ipairs({
    {'ZADD', KEYS[3], listed, ARGV[1]},
    {'HSET', KEYS[2], 'listed_ms', listed},
    {'PTTL', KEYS[3]},
  }) do
    local answer = redis.pcall(unpack(command))
    if type(answer) == 'table' and answer.err then
      problem = answer.err
      break
    elseif command[1] == 'PTTL' and answer < listed - now then
      redis.pcall('PEXPIREAT', KEYS[3], listed)
    end
  end
end
if count > 0 then
  local message = meta[7] .. ' active ' .. ms .. ' ' .. meta[3] .. '\n'
    .. (fresh > 1 and batch:sub(fresh) or batch)
  local published = redis.pcall('PUBLISH', KEYS[4], message)
  if type(published) == 'table' and published.err then
    problem = problem or published.err
  end
end
return {ms, meta[3], skipped, problem}
