// Asks Hugging Face's hub who serves a model. A request waits for it only where it has nothing else, and never for long; all
// other questions are asked beside it. No key and nothing of the client's goes to the hub but the model's id.
import type { ModelMapping } from '../src/config/config.ts'
import type { World } from '../src/routing/explain.ts'
import { type HubModels, hubAddress, readPlaces } from '../src/routing/hub-models.ts'
import { hubQuestion } from '../src/routing/hub-question.ts'
import { logFault } from './log.ts'

const waitMs = 500
const askMs = 5_000
const maxAnswerBytes = 256 * 1024
/** How long Cloudflare's cache keeps an answer, for isolates that have not heard it. */
const cacheSeconds = 600

export interface HubCall {
  hub: HubModels
  requestId: string
  waitUntil(work: Promise<unknown>): void
}

/** Makes what the hub says of a model known before it is routed, as far as that is worth it. */
export async function hearOfModel(model: string, world: World, call: HubCall): Promise<void> {
  const { modelMapping } = world.config
  if (modelMapping === undefined) return
  const question = hubQuestion(model, world, call.hub)
  if (question === undefined || !call.hub.mayAsk(question.id, world.now)) return
  const answered = ask(question.id, modelMapping, call)
  call.waitUntil(answered)
  if (question.wait) await Promise.race([answered, pause(waitMs)])
}

async function ask(id: string, { hubUrl, providers }: ModelMapping, call: HubCall): Promise<void> {
  const { hub, requestId } = call
  hub.asked(id, Date.now())
  try {
    const response = await fetch(hubAddress(hubUrl, id), {
      headers: { accept: 'application/json', 'user-agent': 'switchyard' },
      signal: AbortSignal.timeout(askMs),
      cf: { cacheTtl: cacheSeconds, cacheEverything: true },
    })
    if (response.ok) {
      const answer: unknown = JSON.parse(await boundedText(response))
      hub.learned(id, readPlaces(answer, providers), Date.now())
      return
    }
    await response.body?.cancel()
    // The hub says 401 of a model that is private or does not exist.
    if (![401, 403, 404].includes(response.status)) throw new Error(`HTTP ${response.status}`)
    hub.learned(id, new Map(), Date.now())
  } catch (error) {
    hub.failed(id, Date.now())
    logFault(error, { requestId, place: 'model mapping' })
  }
}

async function boundedText({ body }: Response): Promise<string> {
  if (body === null) return ''
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    text += decoder.decode(value, { stream: true })
    if (text.length > maxAnswerBytes) {
      await reader.cancel()
      throw new Error('the answer is too large')
    }
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
