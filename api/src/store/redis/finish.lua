-- Writes the last event of an active stream, records its status, and publishes both. Or does so
-- only if a deadline of the stream has passed.
-- KEYS: 1 events (stream)  2 meta (hash)  3 index (sorted set)  4 live (channel)
--       5 notify (channel)  6 signals (hash, as in signal.lua)
--       7 deadlines (sorted set: stream key → a time in ms at which to look at the stream)
-- ARGV: 1 stream key  2 name of the last event  3 status  4 the event as a batch, as in append.lua
--       5 generation that the stream must have, or ''  6 data of the event, if any
-- Or ARGV: 1 stream key  2 'due': the deadline decides how the stream is finished
-- Returns {ms, number of the last event}, and as a third item the error of Redis where removing the
-- stream from the index or publishing failed. Returns nil when there is no stream, the status of a
-- finished one, and 'stale' when the stream has another generation. Returns {} when no deadline has
-- passed. An error: nothing was written.
local meta = redis.call(
  'HMGET', KEYS[2], 'status', 'last_ms', 'next', 'ttl_ms', 'birth', 'signals', 'stop_at'
)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local name, status, batch, data = ARGV[2], ARGV[3], ARGV[4], ARGV[6]
if name == 'due' then
  local stop_at = meta[1] == 'active' and tonumber(meta[7])
  if not stop_at then
    redis.call('ZREM', KEYS[7], ARGV[1])
    return {}
  elseif stop_at > now then
    -- It was renewed.
    redis.call('ZADD', KEYS[7], stop_at, ARGV[1])
    return {}
  end
  name, status, data = 'cancel', 'cancelled', '{"reason":"stop-timeout","by":"broker"}'
  batch = struct.pack('>I4I4', #name, #data + 1) .. name .. data
elseif meta[1] ~= 'active' or ARGV[5] ~= '' and ARGV[5] ~= meta[5] then
  -- As in append.lua: a replica must not refuse.
  redis.call('HDEL', KEYS[2], '')
  return meta[1] and ARGV[5] ~= '' and ARGV[5] ~= meta[5] and 'stale' or meta[1]
end
local ms = string.format('%.0f', math.max(now, tonumber(meta[2])))

-- These change nothing that a subscriber sees. They come first, so that a stream can be finished
-- in a full Redis: it refuses a write only when the script has not written before.
redis.call('PEXPIRE', KEYS[1], meta[4])
redis.call('PEXPIRE', KEYS[2], meta[4])
if meta[6] then
  redis.call('PEXPIRE', KEYS[6], meta[4])
end
local count = string.format('%.0f', meta[3] + 1)
redis.call('HSET', KEYS[2], 'status', status, 'last_ms', ms, 'next', count)
local event = {'event', name}
if data then
  event[3], event[4] = 'data', data
end
local id = ms .. '-' .. meta[3]
local added = redis.pcall('XADD', KEYS[1], 'NOMKSTREAM', id, unpack(event))
if not added or type(added) == 'table' and added.err then
  redis.call('HSET', KEYS[2], 'status', 'active', 'last_ms', meta[2], 'next', meta[3])
  if added then
    return added
  end
  -- Redis has evicted the events. Half a stream is worth nothing, so the rest is deleted too.
  redis.pcall('DEL', KEYS[2])
  redis.pcall('ZREM', KEYS[3], ARGV[1])
  return false
end

local problem
for _, command in ipairs({
  {'ZREM', KEYS[3], ARGV[1]},
  {'PUBLISH', KEYS[4], meta[5] .. ' ' .. status .. ' ' .. ms .. ' ' .. meta[3] .. '\n' .. batch},
  {'PUBLISH', KEYS[5], meta[5] .. ' ' .. status},
  meta[7] and {'ZREM', KEYS[7], ARGV[1]} or nil,
}) do
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err then
    problem = problem or answer.err
  end
end
return {ms, meta[3], problem}
