-- Makes a stream and what belongs to it live for at least `lives` ms from `now` on, and lists it
-- for so long. Other scripts begin with this text.
--
-- A stream with deadlines lives for its ttl after the last of them, for 10 s in which a node looks
-- at it, and for the longest period of its deadlines once more: after an outage of Redis, producers
-- have that long to report again.
local function prolong(stream, lives, now, listed_ms, keys)
  for _, key in ipairs({keys.meta, keys.events, keys.signals}) do
    if redis.call('PTTL', key) < lives then
      redis.call('PEXPIRE', key, string.format('%.0f', lives))
    end
  end
  if now + lives > tonumber(listed_ms) then
    local listed = string.format('%.0f', now + lives * 1.25 + 1000)
    redis.call('ZADD', keys.index, listed, stream)
    redis.call('HSET', keys.meta, 'listed_ms', listed)
    if redis.call('PTTL', keys.index) < listed - now then
      redis.call('PEXPIREAT', keys.index, listed)
    end
  end
end

