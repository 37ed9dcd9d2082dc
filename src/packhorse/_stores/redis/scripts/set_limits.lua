-- Declare limits. ARGV: 4 the application whose code declares, "" for a person, then name and JSON ("" to take it back) of each.
-- Answers the names for which something changed.
local app, done = ARGV[4], {}
local function key_of(name) return NS .. (string.sub(name, -1) == '*' and ':wild' or ':limits') end
local function meant(declaration, name)
  if declaration == name then return true end
  local start = string.sub(declaration, 1, -2)
  return string.sub(declaration, -1) == '*' and string.sub(name, 1, #start) == start
end

-- Have all be looked at that wait for a name for which this is meant.
local function look_again(declaration)
  for _, queue in ipairs(call('SMEMBERS', NS .. ':lined')) do
    for _, member in ipairs(call('SMEMBERS', NS .. ':lines_of:' .. queue)) do
      local name = string.sub(member, 2)
      if string.sub(member, 1, 1) == 'l' and meant(declaration, name) then
        free(name)
        call('ZADD', NS .. ':late', 0, name)
      end
    end
  end
end

for place = 5, #ARGV, 2 do
  local name, text = ARGV[place], ARGV[place + 1]
  local stored = call('HGET', key_of(name), name)
  local old, new = stored and cjson.decode(stored), text ~= '' and cjson.decode(text)
  local changes = new and true or false
  if old then
    changes = not (app ~= '' and not old.app) and not (new and new.value == old.value and new.app == old.app)
  end
  if changes then
    done[#done + 1] = name
    if new then
      new.at = NOW
      call('HSET', key_of(name), name, cjson.encode(new))
    else
      call('HDEL', key_of(name), name)
    end
    if (old and old.value) ~= (new and new.value) then
      for _, used in ipairs(call('ZRANGE', NS .. ':rates', 0, -1)) do
        if meant(name, used) then call('ZREM', NS .. ':rates', used) end
      end
    end
    look_again(name)
    stirred = 1
  end
end
if done[1] then changed() end
return { done, stirred }
