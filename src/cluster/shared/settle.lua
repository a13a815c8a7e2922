-- KEYS: the account, the account from this address. ARGV: the outcome (failed, succeeded,
-- released); the account's count, milliseconds and longest delay; how long an address is known;
-- whether it was known; whether there is an address.
local count, per, longest = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known = ARGV[6] == '1'
local key = known and KEYS[2] or KEYS[1]
local ttl = known and tonumber(ARGV[5]) or 0
local exists = redis.call('EXISTS', key) == 1
if exists or (ARGV[1] == 'failed' and not known) then
  local streak = read(key)
  streak.pending = math.max(streak.pending - 1, 0)
  if ARGV[1] == 'failed' then
    streak.failures = streak.failures + 1
    streak.last = now
    streak.kept = math.max(per, 2 * delay(streak.failures, count, per, longest))
  end
  write(key, streak, ttl)
end
if ARGV[1] == 'succeeded' and ARGV[7] == '1' then
  write(KEYS[2], { failures = 0, pending = 0, last = now, kept = 0, begun = now }, tonumber(ARGV[5]))
end
return 0
