-- Tries every command that the broker's scripts and reads need, so that a missing right is found
-- before it breaks a stream in half.
-- KEYS: 1 events (stream)  2 meta (hash)  3 index (sorted set)  4 live (channel), all of the node
-- ARGV: 1 ms after which Redis deletes what a failed call leaves behind
-- Returns nil, or the error of Redis when a message can't be published. Any other failure is an
-- error of the script.

local expires = tonumber(ARGV[1])
local later = redis.call('TIME')[1] * 1000 + expires
local commands = {
  -- First a write that a full Redis refuses. After another write Redis would not refuse it.
  {'ZADD', KEYS[3], 1, '-'},
  {'PEXPIRE', KEYS[3], expires},
  {'HSET', KEYS[2], 'status', '-', 'next', 1},
  {'PEXPIRE', KEYS[2], expires},
  {'XADD', KEYS[1], '1-0', 'event', '-'},
  {'PEXPIRE', KEYS[1], expires},
  {'XLEN', KEYS[1]},
  {'XRANGE', KEYS[1], '-', '+', 'COUNT', 1},
  {'XREAD', 'COUNT', 1, 'STREAMS', KEYS[1], '0-0'},
  {'EXISTS', KEYS[1]},
  {'HMGET', KEYS[2], 'status', 'next'},
  {'HGET', KEYS[2], 'status'},
  {'HLEN', KEYS[2]},
  {'HDEL', KEYS[2], 'status'},
  {'PTTL', KEYS[3]},
  {'PEXPIREAT', KEYS[3], later},
  {'ZRANGEBYSCORE', KEYS[3], '-inf', '+inf'},
  {'ZREMRANGEBYSCORE', KEYS[3], '-inf', 0},
  {'ZREM', KEYS[3], '-'},
  {'DEL', KEYS[1], KEYS[2], KEYS[3]},
  {'PUBLISH', KEYS[4], ''},
}
for _, command in ipairs(commands) do
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err then
    -- Some versions of Redis do not report the command.
    local problem = answer.err .. " (run the '" .. command[1]:lower() .. "' command)"
    if command[2] == KEYS[4] then
      return problem
    end
    return {err = problem}
  end
end
return false
