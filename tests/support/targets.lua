-- wrk -s targets.lua URL -- FILE: ask for the file's lines one after the other.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(arguments)
  local lines = {}
  for line in io.lines(arguments[1]) do
    lines[#lines + 1] = wrk.format("GET", line)
  end
  targets = {}
  -- two threads share them out; a single one is for both
  for at = #lines > 1 and number + 1 or 1, #lines, 2 do
    targets[#targets + 1] = lines[at]
  end
  turn = 0
end

function request()
  turn = turn % #targets + 1
  return targets[turn]
end
