-- A mix of requests by weight: edit `mix`, or name another table in the file WRK2_MIX.

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
dofile(here .. "report.lua")

-- What a service is asked: weight, method, path, and for uploads the size of the body in bytes.
local mix = {
  {weight = 80, method = "GET", path = "/64"},
  {weight = 15, method = "GET", path = "/16k"},
  {weight = 5, method = "POST", path = "/64", body = 1024},
}

local chosen = os.getenv("WRK2_MIX")
if chosen then mix = dofile(chosen) end

local prepared, total = {}, 0
local threads = 0

-- Each thread draws its own sequence, the same in every run.
function setup(thread)
  threads = threads + 1
  thread:set("seed", threads)
end

-- wrk has read host and headers by now: requests are made once, not for each use.
function init()
  math.randomseed(seed)
  for _, one in ipairs(mix) do
    local body = one.body and string.rep("x", one.body) or nil
    total = total + one.weight
    prepared[#prepared + 1] = {upto = total, text = wrk.format(one.method, one.path, nil, body)}
  end
end

function request()
  local draw = math.random() * total
  for _, one in ipairs(prepared) do
    if draw < one.upto then return one.text end
  end
  return prepared[#prepared].text
end
