-- KEYS: the account, the account from this address, the address.
-- ARGV: the account's count, milliseconds and longest delay; how long an address is known;
-- whether there is an address; the address' count and milliseconds.
-- What refuses (0 nothing, 1 the address, 2 the account), how long to wait, and whether the
-- address is known to the account.
local count, per, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local known, ttl = 0, 0
if ARGV[5] == '1' then
  local wait = take(KEYS[3], tonumber(ARGV[6]), tonumber(ARGV[7]))
  if wait > 0 then
    return { 1, wait, 0 }
  end
  known = redis.call('EXISTS', KEYS[2])
end
local key = KEYS[1]
if known == 1 then
  key, ttl = KEYS[2], tonumber(ARGV[4])
end
local streak = read(key)
if streak.failures + streak.pending >= count then
  local wait = streak.last + delay(streak.failures, count, per, longest) - now
  if wait > 0 then
    return { 2, math.ceil(wait), known }
  end
  if streak.pending > 0 then
    return { 2, math.ceil(interval(count, per)), known }
  end
end
streak.pending = streak.pending + 1
streak.begun = now
write(key, streak, ttl)
return { 0, 0, known }
