-- KEYS: one for each rate. ARGV: count and milliseconds of each.
-- The first that refuses and how long to wait; 0 if none does.
for i, key in ipairs(KEYS) do
  local wait = take(key, tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i]))
  if wait > 0 then
    return { i, wait }
  end
end
return { 0, 0 }
