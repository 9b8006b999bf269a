-- Renews what a producer has promised: to show that it lives (its lease), to write events (its
-- stall), and to follow a stop. Begins with prolong.lua.
-- KEYS: 1 meta (hash)  2 deadlines (sorted set, as in finish.lua)  3 events (stream)
--       4 signals (hash, as in signal.lua)  5 index (sorted set)  6 notify (channel)
-- ARGV: 1 stream key  2 generation that the stream must have, or ''
--       3 '1' to restart the grace of a stop, which works once
--       4 ms that a producer has to follow a stop where the stream says nothing else
--       5 ms that the producer may be silent from now on, 0 for ever, or '' for as long as before
--       6 ms that it may write no event, in the same way; '' also leaves its deadline as it is
-- Returns {time in ms until which the producer has to follow a stop, time until which it must
-- report again, time until which it must write, ms that it may be silent, time at which somebody
-- asked it to stop}, each 0 where there is none. Returns nil when there is no stream, the status of
-- a finished one, and 'stale' when the stream has another generation. An error: nothing was
-- written.
local meta = redis.call(
  'HMGET', KEYS[1], 'status', 'birth', 'ttl_ms', 'stop_at', 'grace_ms', 'stop_acked', 'lease_ms',
  'stall_ms', 'stall_at', 'listed_ms', 'signals'
)
local is_active = meta[1] == 'active' or meta[1] == 'leased'
if not is_active or ARGV[2] ~= '' and ARGV[2] ~= meta[2] then
  -- As in append.lua: a replica must not refuse.
  redis.call('HDEL', KEYS[1], '')
  return meta[1] and ARGV[2] ~= '' and ARGV[2] ~= meta[2] and 'stale' or meta[1]
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local stop_at, stall_at = tonumber(meta[4] or 0), tonumber(meta[9] or 0)
local requested_at = tonumber(meta[11] or 0)
local lease = tonumber(ARGV[5] ~= '' and ARGV[5] or meta[7] or 0)
local stall = tonumber(ARGV[6] ~= '' and ARGV[6] or meta[8] or 0)
local lease_at = lease > 0 and now + lease or 0
if ARGV[6] ~= '' then
  stall_at = stall > 0 and now + stall or 0
end
local acks_stop = ARGV[3] == '1' and stop_at > 0 and not meta[6]
local is_changed = ARGV[5] ~= '' or ARGV[6] ~= ''
if not acks_stop and not is_changed and lease == 0 then
  return {stop_at, 0, stall_at, 0, requested_at}
end

local fields = {'status', (lease > 0 or stall > 0) and 'leased' or 'active'}
local function add(field, value)
  fields[#fields + 1], fields[#fields + 2] = field, value
end
if acks_stop then
  stop_at = now + tonumber(meta[5] or ARGV[4])
  add('stop_at', stop_at)
  add('stop_acked', 1)
end
if lease > 0 then
  add('lease_ms', lease)
  add('lease_at', lease_at)
end
if stall > 0 then
  add('stall_ms', stall)
  add('stall_at', stall_at)
end
-- First a write that a full Redis refuses. After it Redis lets the script go on.
redis.call('HSET', KEYS[1], unpack(fields))
if lease == 0 and meta[7] then
  redis.call('HDEL', KEYS[1], 'lease_ms', 'lease_at')
end
if stall == 0 and meta[8] then
  redis.call('HDEL', KEYS[1], 'stall_ms', 'stall_at')
end
local last = 0
for _, at in ipairs({stop_at, lease_at, stall_at}) do
  if at > 0 then
    -- Only earlier: a deadline that is later now is looked at too early, which `finish.lua` mends.
    redis.call('ZADD', KEYS[2], 'LT', at, ARGV[1])
    redis.call('PEXPIRE', KEYS[2], 259200000)
    last = math.max(last, at)
  end
end
if last > 0 then
  local lives = last - now + tonumber(meta[3]) + math.max(lease, stall) + 10000
  prolong(ARGV[1], lives, now, meta[10], {
    meta = KEYS[1], events = KEYS[3], signals = KEYS[4], index = KEYS[5]
  })
end
if is_changed then
  -- Nodes with open uploads renew for them as often as the lease asks.
  redis.call('PUBLISH', KEYS[6], meta[2] .. ' active')
end
return {stop_at, lease_at, stall_at, lease, requested_at}
