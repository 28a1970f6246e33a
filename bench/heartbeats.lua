-- wrk's side of the load: sends the records of bench/mix.py in order; prints one line of JSON. args:
-- file, first record, bytes of a site and a record, records per request, agent, origin, by a proxy
local next_record, site_bytes, record_bytes, per_request
local records, count, head, is_proxy

local HEADERS = 'Host: 127.0.0.1\r\nUser-Agent: %s\r\nOrigin: %s\r\n'
  .. 'Content-Type: application/json\r\nAccept: */*\r\nContent-Length: %d\r\n\r\n'

function init(args)
  local handle = assert(io.open(args[1], 'rb'))
  records = handle:read('*a')
  handle:close()
  next_record = tonumber(args[2])
  site_bytes, record_bytes, per_request = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  count = math.floor(#records / record_bytes)
  local body_bytes = record_bytes - site_bytes
  if per_request > 1 then
    body_bytes = #'{"heartbeats":[]}' + per_request * (body_bytes + 1) - 1
  end
  head = string.format(HEADERS, args[6], args[7], body_bytes)
  is_proxy = args[8] == '1'
end

local function record()
  local at = (next_record % count) * record_bytes
  next_record = next_record + 1
  return records:sub(at + 1, at + site_bytes), records:sub(at + site_bytes + 1, at + record_bytes)
end

function request()
  local site, body = record()
  if per_request == 1 then
    local visitor = is_proxy and 'X-Forwarded-For: 2001:db8::' .. next_record % 10000 .. '\r\n' or ''
    return 'POST /v1/sites/' .. site .. '/heartbeat HTTP/1.1\r\n' .. visitor .. head .. body
  end
  local bodies = {body}
  for n = 2, per_request do
    site, bodies[n] = record()
  end
  return 'POST /v1/sites/' .. site .. '/heartbeats HTTP/1.1\r\n' .. head
    .. '{"heartbeats":[' .. table.concat(bodies, ',') .. ']}'
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "duration_us": %d, "bad_status": %d, "socket_errors": %d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
