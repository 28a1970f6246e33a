// Heartbeats by Fastify and ioredis, one script call each.
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import { Redis } from 'ioredis'

const { PORT, REDIS_URL, ORIGIN, AUTO_PIPELINING, DEDUP_MS, TIMEOUT_MS, VIEW_DEDUP_MS } = process.env

const redis = new Redis(REDIS_URL, { enableAutoPipelining: AUTO_PIPELINING === '1' })
redis.defineCommand('heartbeat', {
  numberOfKeys: 1,
  lua: readFileSync(new URL('../heartbeat_one.lua', import.meta.url), 'utf8')
})

const schema = {
  params: {
    type: 'object',
    properties: { site: { type: 'string', pattern: '^[a-z0-9][a-z0-9.-]{0,62}$' } }
  },
  body: {
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
}

const host = (referrer) => (URL.canParse(referrer) ? new URL(referrer).hostname : '')
const outcomes = {}
const app = Fastify({ bodyLimit: 2048 })

app.post('/v1/sites/:site/heartbeat', { schema }, async (request, reply) => {
  if (request.headers.origin !== ORIGIN) return reply.code(403).send({ detail: 'origin' })
  const { sessionId, currentPath, pageType = '', country = '', referrer } = request.body
  const outcome = await redis.heartbeat(
    `presence:{${request.params.site}}:`, sessionId, currentPath, pageType,
    referrer ? host(referrer) : '', country.toUpperCase(), request.ip,
    DEDUP_MS, TIMEOUT_MS, VIEW_DEDUP_MS
  )
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  if (outcome === 'limited') return reply.code(429).send({ detail: 'too many new sessions' })
  reply.header('presence-status', outcome).header('access-control-allow-origin', ORIGIN)
  return reply.code(204).send()
})

app.get('/metrics', async () =>
  Object.entries(outcomes)
    .map(([outcome, n]) => `presence_heartbeats_total{outcome="${outcome}"} ${n}\n`)
    .join('')
)

await app.listen({ host: '127.0.0.1', port: Number(PORT) })
