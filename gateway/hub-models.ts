// Asks Hugging Face's hub who serves a model, and its router what that costs. A request waits only where it has nothing else,
// and never for long; all other questions are asked beside it. No key and nothing of the client's is sent but the model's id.
import { hf } from '../src/providers/hf.ts'
import { readCatalogue } from '../src/routing/hub-catalogue.ts'
import { type HubModels, hubAddress, readPlaces } from '../src/routing/hub-models.ts'
import { hubQuestion } from '../src/routing/hub-question.ts'
import type { World } from '../src/routing/world.ts'
import { logFault } from './log.ts'

const waitMs = 500
const askMs = 5_000
const maxModelBytes = 256 * 1024
const maxListBytes = 8 * 1024 * 1024
/** How long Cloudflare's cache keeps an answer, for isolates that have not heard it. */
const cacheSeconds = 600
/** The one question that is not about a model. */
const listQuestion = 'GET /v1/models'

export interface HubCall {
  hub: HubModels
  requestId: string
  waitUntil(work: Promise<unknown>): void
}

/** Makes what the hub says of a model known before it is routed, as far as that is worth it. */
export async function hearOfModel(model: string, world: World, call: HubCall): Promise<void> {
  const { hub } = call
  const { modelMapping } = world.config
  if (modelMapping === undefined) return
  const question = hubQuestion(model, world, hub)
  if (question === undefined || !hub.mayAsk(question.id, world.now)) return
  const { id, wait } = question
  const learn = (answer: unknown) =>
    hub.learned(id, readPlaces(answer, modelMapping.providers), Date.now())
  const url = hubAddress(modelMapping.hubUrl, id)
  await ask({ question: id, url, maxBytes: maxModelBytes, learn }, wait, call)
}

/** Makes the router's list known (prices, abilities, speeds); only the first time is anybody kept waiting. */
export async function hearOfPrices(world: World, call: HubCall): Promise<void> {
  const { hub } = call
  const { modelMapping, providers } = world.config
  const knowledge = hub.catalogueKnowledge(world.now)
  if (modelMapping === undefined || knowledge === 'known') return
  if (!hub.mayAsk(listQuestion, world.now)) return
  const learn = (answer: unknown) =>
    hub.learnedCatalogue(listQuestion, readCatalogue(answer, modelMapping.providers), Date.now())
  const url = `${(providers.get(hf.name) ?? hf).baseUrl}/models`
  const wait = knowledge === 'unknown'
  await ask({ question: listQuestion, url, maxBytes: maxListBytes, learn }, wait, call)
}

interface Question {
  question: string
  url: string
  maxBytes: number
  /** Told the answer; `{}` where the hub knows nothing. */
  learn(answer: unknown): void
}

async function ask(asked: Question, wait: boolean, call: HubCall): Promise<void> {
  call.hub.asked(asked.question, Date.now())
  const answered = fetchAnswer(asked).then(asked.learn, (error: unknown) => {
    call.hub.failed(asked.question, Date.now())
    logFault(error, { requestId: call.requestId, place: 'model mapping' })
  })
  call.waitUntil(answered)
  if (wait) await Promise.race([answered, pause(waitMs)])
}

async function fetchAnswer({ url, maxBytes }: Question): Promise<unknown> {
  const response = await fetch(url, {
    headers: { accept: 'application/json', 'user-agent': 'switchyard' },
    signal: AbortSignal.timeout(askMs),
    cf: { cacheTtl: cacheSeconds, cacheEverything: true },
  })
  if (response.ok) return JSON.parse(await boundedText(response, maxBytes))
  await response.body?.cancel()
  // The hub says 401 of a model that is private or does not exist, and 400 of a name that it allows nobody. No client's
  // model may keep it from being asked about others.
  if ([400, 401, 403, 404, 410, 422, 451].includes(response.status)) return {}
  throw new Error(`HTTP ${response.status}`)
}

async function boundedText({ body }: Response, maxBytes: number): Promise<string> {
  if (body === null) return ''
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    text += decoder.decode(value, { stream: true })
    if (text.length > maxBytes) {
      await reader.cancel()
      throw new Error('the answer is too large')
    }
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
