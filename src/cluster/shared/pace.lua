-- What the scripts of throttles share. Times are milliseconds of this server's clock, so that
-- replicas whose clocks differ count alike.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A try whose outcome nobody told (a replica died) is forgotten after this long.
local PENDING = 60000

local function interval(count, per)
  return per / math.max(count, 1)
end

-- A steady rate (GCRA): how long to wait, 0 for not at all.
local function take(key, count, per)
  if count == 0 then
    return per
  end
  local used = tonumber(redis.call('GET', key) or now)
  used = math.max(now, math.min(used, now + per))
  local following = used + interval(count, per)
  local over = following - (now + per)
  if over > 0 then
    return math.ceil(over)
  end
  redis.call('SET', key, string.format('%.3f', following), 'PX', math.ceil(following - now) + 1)
  return 0
end

-- How long to wait after the last of so many failures.
local function delay(failures, count, per, longest)
  if failures < count then
    return 0
  end
  local grown = interval(count, per) * 2 ^ math.min(failures - count, 60)
  return math.min(grown, math.max(longest, interval(count, per)))
end

local function read(key)
  local held = redis.call('HMGET', key, 'failures', 'pending', 'last', 'kept', 'begun')
  local streak = {
    failures = tonumber(held[1] or 0),
    pending = tonumber(held[2] or 0),
    last = math.min(tonumber(held[3] or now), now),
    kept = tonumber(held[4] or 0),
    begun = tonumber(held[5] or now),
  }
  if now - streak.last >= streak.kept then
    streak.failures = 0
  end
  if now - streak.begun >= PENDING then
    streak.pending = 0
  end
  return streak
end

local function write(key, streak, ttl)
  redis.call('HSET', key, 'failures', streak.failures, 'pending', streak.pending,
    'last', streak.last, 'kept', math.ceil(streak.kept), 'begun', streak.begun)
  redis.call('PEXPIRE', key, math.ceil(math.max(ttl, PENDING, streak.kept)) + 1000)
end
