-- Reads the state of a stream and a page of its events, at one moment.
-- KEYS: 1 events (stream)  2 meta (hash)
-- ARGV: 1 where to begin, as XRANGE takes it  2 events at the most, 0 for the state alone
--       3 bytes after which to stop
-- Returns {generation, status, created_ms, last_ms, next, length, pttl, first id, events as XRANGE
-- returns them, signals, deadlines}, or nil when there is no stream. Signals: the ms of the first
-- stop, 0 when there are only others, nil when there are none. Deadlines: nil, or {ms that the
-- producer may be silent, the time in ms at which that ends, the time at which it must have written
-- an event}.
local meta = redis.call(
  'HMGET', KEYS[2], 'birth', 'status', 'created_ms', 'last_ms', 'next', 'ttl_ms', 'signals'
)
local length = redis.call('XLEN', KEYS[1])
if not meta[1] or length == 0 then
  return false
end
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)

local limit, budget = tonumber(ARGV[2]), tonumber(ARGV[3])
local events, bytes, from = {}, 0, ARGV[1]
while #events < limit and bytes < budget do
  -- In small steps, because one event may be as large as the budget.
  local step = math.min(32, limit - #events)
  local some = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', step)
  for _, event in ipairs(some) do
    events[#events + 1] = event
    for _, field in ipairs(event[2]) do
      bytes = bytes + #field
    end
    -- A step may have many times the budget.
    if bytes >= budget then
      break
    end
  end
  if #some < step then
    break
  end
  from = '(' .. some[#some][1]
end
-- A write may set a longer expiry than the ttl: see append.lua.
local ttl = math.min(redis.call('PTTL', KEYS[2]), tonumber(meta[6]))
local deadlines = meta[2] == 'leased'
  and redis.call('HMGET', KEYS[2], 'lease_ms', 'lease_at', 'stall_at')
return {
  meta[1], meta[2], meta[3], meta[4], meta[5], length, ttl, oldest[1][1], events, meta[7], deadlines
}
