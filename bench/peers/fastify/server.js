// Heartbeats by Fastify and ioredis, one script call per request.
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import { Redis } from 'ioredis'

const { PORT, REDIS_URL, ORIGIN, AUTO_PIPELINING, DEDUP_MS, TIMEOUT_MS, VIEW_DEDUP_MS } = process.env

const redis = new Redis(REDIS_URL, { enableAutoPipelining: AUTO_PIPELINING === '1' })
redis.defineCommand('heartbeats', {
  numberOfKeys: 1,
  lua: readFileSync(new URL('../heartbeats.lua', import.meta.url), 'utf8')
})

const params = {
  type: 'object',
  properties: { site: { type: 'string', pattern: '^[a-z0-9][a-z0-9.-]{0,62}$' } }
}
const body = {
  type: 'object',
  required: ['sessionId', 'currentPath'],
  properties: {
    sessionId: { type: 'string', pattern: '^[A-Za-z0-9_-]{16,64}$' },
    currentPath: { type: 'string', maxLength: 512, pattern: '^/(?!/)[^\\u0000-\\u001f?#]*$' },
    pageType: { type: 'string', pattern: '^[a-z0-9_-]{1,32}$' },
    country: { type: 'string', pattern: '^[A-Za-z]{2}$' },
    referrer: { type: 'string', maxLength: 2048 }
  }
}
const batch = {
  type: 'object',
  required: ['heartbeats'],
  properties: { heartbeats: { type: 'array', maxItems: 1000, items: body } }
}

const host = (referrer) => (URL.canParse(referrer) ? new URL(referrer).hostname : '')
const counts = {}
const app = Fastify({ bodyLimit: 2048 })

// One script call for all heartbeats of a request; their outcomes.
const decide = async (request, beats) => {
  const args = [DEDUP_MS, TIMEOUT_MS, VIEW_DEDUP_MS]
  for (const { sessionId, currentPath, pageType = '', country = '', referrer } of beats) {
    args.push(sessionId, currentPath, pageType, referrer ? host(referrer) : '',
      country.toUpperCase(), request.ip)
  }
  const outcomes = await redis.heartbeats(`presence:{${request.params.site}}:`, ...args)
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1
  return outcomes
}

app.addHook('preHandler', async (request, reply) => {
  if (request.method === 'POST' && request.headers.origin !== ORIGIN) {
    return reply.code(403).send({ detail: 'origin' })
  }
})

app.post('/v1/sites/:site/heartbeat', { schema: { params, body } }, async (request, reply) => {
  const [outcome] = await decide(request, [request.body])
  if (outcome === 'limited') return reply.code(429).send({ detail: 'too many new sessions' })
  reply.header('presence-status', outcome).header('access-control-allow-origin', ORIGIN)
  return reply.code(204).send()
})

const options = { schema: { params, body: batch }, bodyLimit: 262144 }
app.post('/v1/sites/:site/heartbeats', options, async (request, reply) => {
  reply.header('access-control-allow-origin', ORIGIN)
  return { outcomes: await decide(request, request.body.heartbeats) }
})

app.get('/metrics', async () =>
  Object.entries(counts)
    .map(([outcome, n]) => `presence_heartbeats_total{outcome="${outcome}"} ${n}\n`)
    .join('')
)

await app.listen({ host: '127.0.0.1', port: Number(PORT) })
