-- wrk -s targets.lua URL -- FILE: ask for the file's lines one after the other.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(arguments)
  targets = {}
  local line_number = 0
  for line in io.lines(arguments[1]) do
    -- two threads share them out
    if line_number % 2 == number % 2 then
      targets[#targets + 1] = wrk.format("GET", line)
    end
    line_number = line_number + 1
  end
  turn = 0
end

function request()
  turn = turn % #targets + 1
  return targets[turn]
end
