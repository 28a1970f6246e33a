--[[
  wrk's side of the load: sends the records of bench/mix.py in order.

  wrk … -s heartbeats.lua <url> -- <file> <first record> <site bytes> <record bytes> <per request>

  With more than one record per request they travel as a batch, of one site, to …/heartbeats.
  At the end one line of JSON is printed.
]]
local file, next_record, site_bytes, record_bytes, per_request
local records, count, head

local HEADERS = 'Host: 127.0.0.1\r\nUser-Agent: %s\r\nOrigin: %s\r\n'
  .. 'Content-Type: application/json\r\nAccept: */*\r\nContent-Length: %d\r\n\r\n'

function init(args)
  file, next_record = args[1], tonumber(args[2])
  site_bytes, record_bytes, per_request = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  local handle = assert(io.open(file, 'rb'))
  records = handle:read('*a')
  handle:close()
  count = math.floor(#records / record_bytes)
  local body_bytes = record_bytes - site_bytes
  if per_request > 1 then
    body_bytes = #'{"heartbeats":[]}' + per_request * (body_bytes + 1) - 1
  end
  head = string.format(HEADERS, args[6], args[7], body_bytes)
end

local function record()
  local at = (next_record % count) * record_bytes
  next_record = next_record + 1
  return at
end

function request()
  local at = record()
  local site = records:sub(at + 1, at + site_bytes)
  if per_request == 1 then
    return 'POST /v1/sites/' .. site .. '/heartbeat HTTP/1.1\r\n' .. head
      .. records:sub(at + site_bytes + 1, at + record_bytes)
  end
  local bodies = {records:sub(at + site_bytes + 1, at + record_bytes)}
  for n = 2, per_request do
    at = record()
    bodies[n] = records:sub(at + site_bytes + 1, at + record_bytes)
  end
  return 'POST /v1/sites/' .. site .. '/heartbeats HTTP/1.1\r\n' .. head
    .. '{"heartbeats":[' .. table.concat(bodies, ',') .. ']}'
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "duration_us": %d, "bad_status": %d, "socket_errors": %d, '
      .. '"p50_us": %d, "p99_us": %d, "bytes": %d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), summary.bytes))
end
