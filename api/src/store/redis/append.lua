-- Writes a batch of events to an active stream, all of it or nothing, and publishes it. Of a
-- producer's batch it leaves out the events that are stored already.
-- KEYS: 1 events (stream)  2 meta (hash)  3 index (sorted set)  4 live (channel)
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
  'HMGET', KEYS[2], 'status', 'last_ms', 'next', 'ttl_ms', 'max_events', 'listed_ms', 'birth'
)
if meta[1] and ARGV[4] ~= '' and ARGV[4] ~= meta[7] then
  return 'stale'
elseif meta[1] ~= 'active' then
  return meta[1]
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- The clock may go back; ids may not.
local ms = string.format('%.0f', math.max(now, tonumber(meta[2])))
local first = tonumber(meta[3])
local batch = ARGV[2]

local duplicates, had = 0, 0
if ARGV[5] then
  local known = redis.call('HGET', KEYS[2], 'p:' .. ARGV[5])
  -- The hash has eight other fields.
  if not known and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[7]) + 8 then
    return {}
  end
  had = tonumber(known or 0)
  duplicates = had - tonumber(ARGV[6])
  if duplicates < 0 then
    return {string.format('%.0f', had)}
  end
end

local at, skipped = 1, 0
while skipped < duplicates and at <= #batch do
  local name, data = struct.unpack('>I4I4', batch, at)
  at = at + 8 + name + math.max(data - 1, 0)
  skipped = skipped + 1
end
local fresh, count = at, tonumber(ARGV[3]) - skipped

-- The stream's state comes first, because it can be restored. Events can't be removed. A full Redis
-- refuses this write too. After it Redis lets the script go on, so that it does not stop half-way.
local before, after = {}, {}
local function set(field, old, new)
  before[#before + 1], before[#before + 2] = field, old
  after[#after + 1], after[#after + 2] = field, new
end
if count > 0 then
  -- Only with an event, because the two are the id of the newest one.
  set('last_ms', meta[2], ms)
  set('next', meta[3], string.format('%.0f', first + count))
end
if ARGV[5] then
  local has = math.max(had, tonumber(ARGV[6]) + skipped + count)
  set('p:' .. ARGV[5], string.format('%.0f', had), string.format('%.0f', has))
end
if #after > 0 then
  redis.call('HSET', KEYS[2], unpack(after))
end
-- The error of Redis. From the first event on it is returned beside the result, which is stored.
local problem
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    problem = problem or answer.err
    return false
  end
  return answer
end
local function undo()
  if #before > 0 then
    redis.pcall('HSET', KEYS[2], unpack(before))
  end
  if ARGV[5] and had == 0 then
    redis.pcall('HDEL', KEYS[2], 'p:' .. ARGV[5])
  end
end
if try('PEXPIRE', KEYS[1], meta[4]) == false or try('PEXPIRE', KEYS[2], meta[4]) == false then
  undo()
  return {err = problem}
end

local n = first
at = fresh
while at <= #batch do
  local name, data, from = struct.unpack('>I4I4', batch, at)
  local id = ms .. '-' .. string.format('%.0f', n)
  at = from + name
  local added
  if data > 0 then
    added = redis.pcall(
      'XADD', KEYS[1], 'NOMKSTREAM', id,
      'event', batch:sub(from, at - 1), 'data', batch:sub(at, at + data - 2)
    )
    at = at + data - 1
  else
    added = redis.pcall('XADD', KEYS[1], 'NOMKSTREAM', id, 'event', batch:sub(from, at - 1))
  end
  if not added then
    -- Redis has evicted the events. Half a stream is worth nothing, so the rest is deleted too.
    undo()
    redis.pcall('DEL', KEYS[2])
    redis.pcall('ZREM', KEYS[3], ARGV[1])
    return false
  elseif type(added) == 'table' and added.err then
    -- This can only be the first event: Redis accepts either all events of a batch or none.
    undo()
    return added
  end
  n = n + 1
end

local keep = tonumber(meta[5])
if n > keep then
  try('XTRIM', KEYS[1], 'MAXLEN', '~', keep, 'LIMIT', 0)
end
if now + meta[4] > tonumber(meta[6]) then
  -- Ahead of time, so that a busy stream writes to the index once in a quarter of its TTL.
  local listed = now + meta[4] * 1.25 + 1000
  if try('ZADD', KEYS[3], listed, ARGV[1]) then
    try('HSET', KEYS[2], 'listed_ms', string.format('%.0f', listed))
    local left = try('PTTL', KEYS[3])
    if left and left < listed - now then
      try('PEXPIREAT', KEYS[3], string.format('%.0f', listed))
    end
  end
end
if count > 0 then
  local head = meta[7] .. ' active ' .. ms .. ' ' .. meta[3] .. '\n'
  try('PUBLISH', KEYS[4], head .. (fresh > 1 and batch:sub(fresh) or batch))
end
return {ms, meta[3], string.format('%.0f', skipped), problem}
