-- Writes the last event of an active stream, records its status, and publishes both. Or does so
-- only if a deadline of the stream has passed.
-- KEYS: 1 events (stream)  2 meta (hash)  3 index (sorted set)  4 live (channel)
--       5 notify (channel)  6 signals (hash, as in signal.lua)
--       7 deadlines (sorted set: stream key → a time in ms at which to look at the stream)
-- ARGV: 1 stream key  2 name of the last event  3 status  4 the event as a batch, as in append.lua
--       5 generation that the stream must have, or ''  6 data of the event, if any
-- Or ARGV: 1 stream key  2 'due': the deadline decides how the stream is finished
--       3 ms for which the nodes have had contact with this Redis without a break
--       4 time in ms at which this Redis last answered the node, or '' to ask for it
-- Returns {ms, number of the last event, status}, and as a fourth item the error of Redis where
-- removing the stream from the index or publishing failed. Returns nil when there is no stream, the
-- status of a finished one, and 'stale' when the stream has another generation. With 'due': {} when
-- no deadline has passed, or none that counts; {time in ms} when the caller must ask again with it.
-- An error: nothing was written.
local meta = redis.call(
  'HMGET', KEYS[2], 'status', 'last_ms', 'next', 'ttl_ms', 'birth', 'signals', 'stop_at'
)
local is_leased = meta[1] == 'leased'
local is_active = is_leased or meta[1] == 'active'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local name, status, batch, data = ARGV[2], ARGV[3], ARGV[4], ARGV[6]
if name == 'due' then
  local periods = is_leased
    and redis.call('HMGET', KEYS[2], 'lease_at', 'lease_ms', 'stall_at', 'stall_ms') or {}
  local cause, cause_at, look_at = nil, nil, nil
  for _, deadline in ipairs(is_active and {
    {'stop', tonumber(meta[7])},
    {'lease', tonumber(periods[1]), tonumber(periods[2])},
    {'stall', tonumber(periods[3]), tonumber(periods[4])},
  } or {}) do
    local at, period = deadline[2], deadline[3]
    local look = at
    if at and at <= now then
      if period and ARGV[4] == '' then
        return {now}
      end
      -- After an outage of Redis, a producer that lives has its whole period to report again. And
      -- an outage may have held this call back.
      local wait = period and period - tonumber(ARGV[3]) or 0
      if period and now - tonumber(ARGV[4]) > 3000 then
        wait = math.max(wait, 1000)
      end
      if wait > 0 then
        look = now + wait
      elseif not cause_at or at < cause_at then
        cause, cause_at = deadline[1], at
      end
    end
    look_at = look and math.min(look_at or look, look) or look_at
  end
  if not cause then
    if look_at then
      redis.call('ZADD', KEYS[7], string.format('%.0f', look_at), ARGV[1])
    else
      redis.call('ZREM', KEYS[7], ARGV[1])
    end
    return {}
  end
  if cause == 'stop' then
    name, status, data = 'cancel', 'cancelled', '{"reason":"stop-timeout","by":"broker"}'
  else
    name, status, data = 'abandon', 'abandoned', '{"reason":"' .. cause .. '"}'
  end
  batch = struct.pack('>I4I4', #name, #data + 1) .. name .. data
elseif not is_active or ARGV[5] ~= '' and ARGV[5] ~= meta[5] then
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
  redis.call('HSET', KEYS[2], 'status', meta[1], 'last_ms', meta[2], 'next', meta[3])
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
  (meta[7] or is_leased) and {'ZREM', KEYS[7], ARGV[1]} or nil,
}) do
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err then
    problem = problem or answer.err
  end
end
return {ms, meta[3], status, problem}
