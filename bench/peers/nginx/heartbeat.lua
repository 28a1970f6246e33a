-- The handler: checks, one script call, 204.
local cjson = require 'cjson.safe'
local redis = require 'nginx.redis'

local M = {}
local settings, script, sha
local find = ngx.re.find

function M.setup(given)
  settings = given
  local file = assert(io.open(settings.script))
  script = file:read('*a')
  file:close()
end

local function refuse(status, detail)
  ngx.status = status
  ngx.header['Content-Type'] = 'application/json'
  ngx.print(cjson.encode({detail = detail}))
  return ngx.exit(status)
end

local function call(site, ...)
  local client = redis:new()
  client:set_timeout(750)
  local connected, why = client:connect('127.0.0.1', settings.redis_port)
  if not connected then
    return nil, why
  end
  local outcome, failure
  if sha then
    outcome, failure = client:evalsha(sha, 1, 'presence:{' .. site .. '}:', ...)
  end
  if not sha or (failure and find(failure, 'NOSCRIPT', 'jo')) then
    sha = client:script('load', script)
    outcome, failure = client:evalsha(sha, 1, 'presence:{' .. site .. '}:', ...)
  end
  client:set_keepalive(60000, 256)
  return outcome and outcome[1], failure
end

function M.answer()
  if ngx.var.http_origin ~= settings.origin then
    return refuse(403, 'origin')
  end
  ngx.req.read_body()
  local body = cjson.decode(ngx.req.get_body_data() or '')
  if type(body) ~= 'table' then
    return refuse(400, 'body')
  end
  local session, path = body.sessionId, body.currentPath
  local page_type, country, referrer = body.pageType or '', body.country or '', body.referrer or ''
  if type(session) ~= 'string' or not find(session, '^[A-Za-z0-9_-]{16,64}$', 'jo')
    or type(path) ~= 'string' or not find(path, [[^/(?!/)[^\x00-\x1f?#]{0,511}$]], 'jo')
    or type(page_type) ~= 'string' or not find(page_type, '^([a-z0-9_-]{1,32})?$', 'jo')
    or type(country) ~= 'string' or not find(country, '^([A-Za-z]{2})?$', 'jo')
    or type(referrer) ~= 'string' then
    return refuse(422, 'a field is invalid')
  end
  if referrer ~= '' then
    local host = ngx.re.match(referrer, '^[a-z]+://([^/?#:]+)', 'jo')
    referrer = host and host[1] or ''
  end
  local outcome, failure = call(ngx.var.site, settings.dedup_ms, settings.timeout_ms,
    settings.view_dedup_ms, session, path, page_type, referrer, country:upper(),
    ngx.var.remote_addr)
  if not outcome then
    return refuse(503, failure)
  end
  ngx.shared.outcomes:incr(outcome, 1, 0)
  if outcome == 'limited' then
    return refuse(429, 'too many new sessions')
  end
  ngx.header['Presence-Status'] = outcome
  ngx.header['Access-Control-Allow-Origin'] = settings.origin
  return ngx.exit(204)
end

function M.metrics()
  for _, outcome in ipairs(ngx.shared.outcomes:get_keys()) do
    ngx.say('presence_heartbeats_total{outcome="', outcome, '"} ', ngx.shared.outcomes:get(outcome))
  end
end

return M
