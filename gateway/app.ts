// The routes and what every request passes on its way to one. https://platform.openai.com/docs/api-reference
import { Hono } from 'hono'
import { RegExpRouter } from 'hono/router/reg-exp-router'
import { TrieRouter } from 'hono/router/trie-router'
import type { GatewayEnv } from './env.ts'
import { authenticate } from './middleware/auth.ts'
import { jsonBody } from './middleware/limits.ts'
import { localOnly } from './middleware/local-only.ts'
import { notFound, onError, only } from './middleware/on-error.ts'
import { readOff } from './middleware/read-off.ts'
import { requestId } from './middleware/request-id.ts'
import { requestLog } from './middleware/request-log.ts'
import { createChatCompletion } from './routes/chat-completions.ts'
import { containers } from './routes/containers.ts'
import { health } from './routes/health.ts'
import { countMessageTokens, createMessage, modelsForMessages } from './routes/messages.ts'
import { metricsPage } from './routes/metrics.ts'
import { explainModel, modelById, modelList } from './routes/models.ts'
import { nodesConnect } from './routes/nodes.ts'
import {
  compact,
  conversations,
  createResponse,
  inputTokens,
  storedResponse,
} from './routes/responses.ts'
import { responsesSocket } from './routes/responses-socket.ts'

/**
 * The gateway. Two apps with the same routes: `/groq/v1/…` names a provider or node in the path, as on Hugging Face's
 * router, and a parameter in the first place of a path is too much for Hono's fast router. Each app is given its router, as
 * Hono's own choice falls back silently, for all routes, at one that the fast router does not know (20 µs a request).
 */
export function createApp(): Pick<Hono<GatewayEnv>, 'fetch'> {
  const plain = appWith('/v1')
  const placed = appWith('/:place/v1')
  return {
    fetch(request, env, context) {
      const app = withoutPlace.test(request.url) ? plain : placed
      return app.fetch(request, env, context)
    },
  }
}

/** Of the text, as making a URL of it costs 5 µs a request. */
const withoutPlace = /^[a-z]+:\/\/[^/?#]+\/(?:v1|health|nodes)(?:[/?#]|$)/

function appWith(base: '/v1' | '/:place/v1'): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>({
    router: base === '/v1' ? new RegExpRouter() : new TrieRouter(),
  })
  app.onError(onError)
  app.notFound(notFound)

  app.use(requestId, requestLog, readOff, localOnly)
  app.get('/health', health)
  app.all('/health', only('GET'))
  app.all('/metrics', metricsPage)
  app.get('/nodes/connect', nodesConnect)
  app.all('/nodes/connect', only('GET'))

  // Nothing is offered to other origins: a preflight learns the methods and gets no permission.
  app.options('*', (c) => c.body(null, 204, { allow: 'GET, HEAD, POST, DELETE, OPTIONS' }))

  app.use(authenticate)
  app.get('/v1/explain', explainModel)
  app.post(`${base}/responses`, jsonBody, createResponse)
  app.get(`${base}/responses`, responsesSocket)
  app.all(`${base}/responses`, only('GET', 'POST'))
  app.post(`${base}/responses/input_tokens`, jsonBody, inputTokens)
  app.post(`${base}/responses/compact`, jsonBody, compact)
  app.all(`${base}/responses/*`, storedResponse)
  app.all(`${base}/conversations`, conversations)
  app.all(`${base}/conversations/:id{.+}`, conversations)
  app.all(`${base}/containers`, containers)
  app.all(`${base}/containers/*`, containers)
  app.post(`${base}/chat/completions`, jsonBody, createChatCompletion)
  app.all(`${base}/chat/completions`, only('POST'))
  app.post(`${base}/messages`, jsonBody, createMessage)
  app.post(`${base}/messages/count_tokens`, jsonBody, countMessageTokens)
  app.all(`${base}/messages`, only('POST'))
  app.all(`${base}/messages/count_tokens`, only('POST'))
  app.get(`${base}/models`, modelsForMessages, modelList)
  app.all(`${base}/models`, only('GET'))
  app.get(`${base}/models/:id{.+}`, modelsForMessages, modelById)
  app.all(`${base}/models/:id{.+}`, only('GET'))
  return app
}
