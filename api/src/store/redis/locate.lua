-- Finds the start position of a subscriber that has no cursor. It reads single events, about forty
-- at the most, however many there are.
-- KEYS: 1 events (stream)  2 meta (hash)
-- ARGV: 1 'last' or 'since'
--       2 how many of the newest events to send; or the time in ms of the first event to send
-- Returns {ms, number} of the first event to send. Where there is none yet: the time of the newest
-- event and the number of the next one. Returns nil when there is no stream.
local meta = redis.call('HMGET', KEYS[2], 'last_ms', 'next')

-- The time and number of the first event at or after a time.
local function first_since(ms)
  local found = redis.call('XRANGE', KEYS[1], ms .. '-0', '+', 'COUNT', 1)[1]
  if found then
    return found[1]:match('^(%d+)-(%d+)$')
  end
end

local oldest_ms, oldest = first_since('0')
if not meta[1] or not oldest then
  return false
end

if ARGV[1] == 'since' then
  local ms, n = first_since(ARGV[2])
  return {ms or meta[1], n or meta[2]}
end

local wanted = math.max(tonumber(meta[2]) - tonumber(ARGV[2]), tonumber(oldest))
if wanted >= tonumber(meta[2]) then
  return {meta[1], meta[2]}
end
-- Numbers have no holes and grow with time. So the event is of the last millisecond whose first
-- event has no greater number.
local low, high = tonumber(oldest_ms), tonumber(meta[1])
while low < high do
  local middle = math.ceil((low + high) / 2)
  local ms, n = first_since(string.format('%.0f', middle))
  if n and tonumber(n) <= wanted then
    low = tonumber(ms)
  else
    high = middle - 1
  end
end
return {string.format('%.0f', low), string.format('%.0f', wanted)}
