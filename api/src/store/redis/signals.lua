-- Reads signals of a stream, at one moment.
-- KEYS: 1 meta (hash)  2 signals (hash, as in signal.lua)
-- ARGV: 1 number after which to begin  2 bytes after which to stop
-- Returns {generation, status, pttl, {number, 'ms JSON', number, …}}, or nil when there is no
-- stream.
local meta = redis.call('HMGET', KEYS[1], 'birth', 'status', 'ttl_ms')
if not meta[1] then
  return false
end
local has = redis.call('HMGET', KEYS[2], 'birth', 'next')
local found, bytes = {}, 0
if has[1] == meta[1] then
  for seq = tonumber(ARGV[1]) + 1, tonumber(has[2]) - 1 do
    local signal = redis.call('HGET', KEYS[2], seq)
    found[#found + 1], found[#found + 2] = seq, signal
    bytes = bytes + #signal
    if bytes >= tonumber(ARGV[2]) then
      break
    end
  end
end
local ttl = math.min(redis.call('PTTL', KEYS[1]), tonumber(meta[3]))
return {meta[1], meta[2], ttl, found}
