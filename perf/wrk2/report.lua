-- Writes a summary of the run as JSON to the file named by WRK2_JSON; also loaded by mixed.lua.

local function escaped(text)
  return (text:gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end))
end

-- Numbers in a fixed order, so that two summaries can be compared line by line.
local function object(pairs_in_order)
  local out = {}
  for _, pair in ipairs(pairs_in_order) do
    out[#out + 1] = string.format('"%s": %s', pair[1], pair[2])
  end
  return "{" .. table.concat(out, ", ") .. "}"
end

local function number(value) return string.format("%.0f", value) end

-- wrk2 calls this once, after the run. Latencies are microseconds, counted from when a request
-- was due, not from when it was sent.
function done(summary, latency, requests)
  local path = os.getenv("WRK2_JSON")
  if not path then return end
  local errors = summary.errors
  local percentiles = {}
  for _, p in ipairs({50, 75, 90, 99, 99.9, 99.99}) do
    percentiles[#percentiles + 1] = {"p" .. p, number(latency:percentile(p))}
  end
  percentiles[#percentiles + 1] = {"max", number(latency.max)}
  local seconds = summary.duration / 1e6
  local document = object({
    {"url", '"' .. escaped(os.getenv("WRK2_URL") or "") .. '"'},
    {"rate_asked", number(tonumber(os.getenv("WRK2_RATE") or "") or 0)},
    {"rate", string.format("%.1f", summary.requests / seconds)},
    {"requests", number(summary.requests)},
    {"bytes", number(summary.bytes)},
    {"duration_s", string.format("%.3f", seconds)},
    {"errors", object({
      {"connect", number(errors.connect)}, {"read", number(errors.read)},
      {"write", number(errors.write)}, {"timeout", number(errors.timeout)},
      {"status", number(errors.status)},
    })},
    {"latency_us", object(percentiles)},
  })
  local file, reason = io.open(path, "w")
  if not file then
    io.stderr:write("report.lua: ", reason, "\n")
    return
  end
  file:write(document, "\n")
  file:close()
end
