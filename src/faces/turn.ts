// What a Responses request means for the store: which earlier turns it goes on from, what of it is kept, and what its response
// object must say about both.
import { ApiError } from '../errors.ts'
import type { IdPrefix, NewId } from '../ids.ts'
import { isObject } from '../protocol/check.ts'
import type { InputItem, ResponseObject, ResponsesRequest } from '../protocol/responses.ts'
import { maxHistoryLength, maxItemIdLength, tooLong } from '../store/limits.ts'
import type { Chain, History, Json, Recorder, Turn } from '../store/store.ts'
import type { FaceDeps } from './deps.ts'

export interface OpenTurn {
  /** With the whole input: history first, references replaced by what they stand for. */
  request: ResponsesRequest
  turn: Turn
  /** Items of earlier turns in front of the client's own. */
  before: number
  /** Undefined where it goes on from nothing. */
  chain: Chain | undefined
}

/** Distinct items that one request may name by their ids alone, beside those of its history: each is looked for in every shard. */
const maxReferences = 1_000

/** The part of a response object that only we can say truly. */
export type StateFields = Partial<ResponseObject> & { conversation?: { id: string } }

/** Checks the fields of state and looks up what the request goes on from. Throws ApiError with the field at fault. */
export async function openTurn(request: ResponsesRequest, deps: FaceDeps): Promise<OpenTurn> {
  const { state } = deps
  const previousResponseId = request.previous_response_id ?? undefined
  const conversation = conversationOf(request)
  const store = request.store !== false && state !== undefined
  if (previousResponseId !== undefined && conversation !== undefined) {
    throw new ApiError(
      'invalid_value',
      "Mutually exclusive parameters: 'previous_response_id' and 'conversation'.",
      { param: 'conversation' },
    )
  }
  if (request.background === true) {
    if (state?.background === undefined) throw unsupported('background')
    if (!store) {
      throw new ApiError('invalid_value', "'background' needs 'store' to be true.", {
        param: 'background',
      })
    }
  }
  const turn = { store, stream: request.stream === true, previousResponseId, conversation }
  if (state === undefined) {
    if (conversation !== undefined) throw unsupported('conversation')
    if (previousResponseId !== undefined) throw previousNotFound(previousResponseId)
    return { request, turn: { ...turn, input: [] }, before: 0, chain: undefined }
  }
  const history =
    previousResponseId === undefined && conversation === undefined
      ? undefined
      : await historyOf(deps, previousResponseId, conversation)
  const before = history?.items ?? []
  const own = await withoutReferences(request.input, before, deps)
  const input = before.length === 0 && own === request.input ? own : [...before, ...listOf(own)]
  const kept = store || state.ofConnection === true
  return {
    // What was stored was checked when it came, and what answers held is ours.
    request:
      input === request.input ? request : { ...request, input: input as ResponsesRequest['input'] },
    turn: { ...turn, input: kept ? storedItems(listOf(own), deps.newId) : [] },
    before: before.length,
    chain: history && { responses: history.responses, conversation },
  }
}

/** The client's name for a field of the whole input: an item of its own, or what brought the earlier ones. */
export function clientsParam(
  param: string,
  before: number,
  conversation: ResponsesRequest['conversation'],
): string {
  const [item, index] = /^input\[(\d+)\]/.exec(param) ?? []
  if (item === undefined) return param
  const own = Number(index) - before
  if (own >= 0) return `input[${own}]${param.slice(item.length)}`
  return conversation == null ? 'previous_response_id' : 'conversation'
}

/** Undefined where the response has no state: its upstream's own words are true then. */
export function stateFields(
  request: ResponsesRequest,
  { store, previousResponseId, conversation }: Turn,
  recorder: Recorder | undefined,
): StateFields | undefined {
  if (recorder === undefined && previousResponseId === undefined && conversation === undefined) {
    return undefined
  }
  return {
    ...(recorder === undefined ? {} : { id: recorder.id }),
    previous_response_id: previousResponseId ?? null,
    store: store && recorder?.durable === true,
    background: request.background === true,
    ...(conversation === undefined ? {} : { conversation: { id: conversation } }),
  }
}

/** `conversation`: an id, or an object with one. */
export function conversationOf(request: ResponsesRequest): string | undefined {
  const { conversation } = request
  if (conversation == null) return undefined
  const id = isObject(conversation) ? conversation.id : conversation
  if (typeof id === 'string' && id !== '') return id
  throw new ApiError(
    'invalid_value',
    "Invalid value for 'conversation': expected an id, or an object with one.",
    { param: 'conversation' },
  )
}

/** Input as a list of items, messages with their type. */
export function listOf(input: ResponsesRequest['input'] | readonly Json[]): Json[] {
  if (typeof input === 'string') {
    return [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: input }] }]
  }
  return input.map((item) => ('role' in item ? { type: 'message', ...item } : { ...item }))
}

async function historyOf(
  { state }: FaceDeps,
  previousResponseId: string | undefined,
  conversation: string | undefined,
): Promise<History> {
  // Both kinds live in one store: the id of one kind is no id of the other.
  const id = previousResponseId ?? conversation ?? ''
  const meant = id.startsWith('conv_') === (previousResponseId === undefined)
  const history = meant ? await state?.history(id) : undefined
  if (history === undefined) {
    if (previousResponseId !== undefined) throw previousNotFound(previousResponseId)
    throw conversationNotFound(conversation ?? '')
  }
  if (history.status === 'queued' || history.status === 'in_progress') {
    throw new ApiError(
      'invalid_request',
      `The response '${previousResponseId}' is not complete yet; it cannot be continued before it is.`,
      { param: 'previous_response_id', status: 409 },
    )
  }
  return history
}

/** Items that are named by their id alone, replaced by the items themselves. */
async function withoutReferences(
  input: ResponsesRequest['input'],
  before: readonly Json[],
  { state }: FaceDeps,
): Promise<ResponsesRequest['input']> {
  if (typeof input === 'string') return input
  const ids = input.filter(isReference).map((item) => String(item.id))
  if (ids.length === 0) return input
  const known = new Map(before.map((item) => [String(item.id), item]))
  const missing = [...new Set(ids)].filter((id) => !known.has(id) && id.length <= maxItemIdLength)
  if (missing.length > maxReferences) {
    const message = `At most ${maxReferences} items can be referred to by their ids.`
    throw new ApiError('invalid_value', message, { param: 'input' })
  }
  for (const [id, item] of (missing.length > 0 && (await state?.items(missing))) || []) {
    known.set(id, item)
  }
  refuseBulk(ids, known)
  return input.map((item, index) => {
    if (!isReference(item)) return item
    const found = known.get(String(item.id))
    if (found !== undefined) return found as InputItem
    throw new ApiError('not_found', `Item with id '${String(item.id).slice(0, 200)}' not found.`, {
      param: `input[${index}].id`,
    })
  })
}

/** A reference is some bytes, what it stands for may be millions, and nothing forbids to name it a thousand times. */
function refuseBulk(ids: readonly string[], known: ReadonlyMap<string, Json>): void {
  const lengths = new Map<string, number>()
  let sum = 0
  for (const id of ids) {
    const length = lengths.get(id) ?? JSON.stringify(known.get(id) ?? null).length
    lengths.set(id, length)
    sum += length
    if (sum > maxHistoryLength) throw tooLong('input')
  }
}

/** True for an item that is named by its id alone. */
export function isReference(item: InputItem): boolean {
  return item.type === 'item_reference' || (item.type == null && !('role' in item))
}

const prefixes: ReadonlyMap<unknown, IdPrefix> = new Map([
  ['message', 'msg'],
  ['function_call', 'fc'],
  ['function_call_output', 'fcr'],
  ['reasoning', 'rs'],
  ['compaction', 'cmp'],
])

/**
 * Items as they are kept and listed: each with an id that stays, a message's content as parts. Throws ApiError for an id that
 * no row could hold; `param` is the list's name.
 */
export function storedItems(items: readonly Json[], newId: NewId, param = 'input'): Json[] {
  return items.map((given, index) => {
    const item: Json = 'role' in given ? { type: 'message', ...given } : { ...given }
    if (typeof item.id !== 'string' || item.id === '') {
      item.id = newId(prefixes.get(item.type) ?? 'item')
    } else if (item.id.length > maxItemIdLength) {
      const path = `${param}[${index}].id`
      const message = `Invalid value for '${path}': expected at most ${maxItemIdLength} characters.`
      throw new ApiError('invalid_value', message, { param: path })
    }
    if (item.type === 'message') {
      item.status ??= 'completed'
      if (typeof item.content === 'string') item.content = partsOf(item.role, item.content)
    }
    return item
  })
}

function partsOf(role: unknown, text: string): Json[] {
  return role === 'assistant'
    ? [{ type: 'output_text', text, annotations: [] }]
    : [{ type: 'input_text', text }]
}

export function previousNotFound(id: string): ApiError {
  return new ApiError(
    'previous_response_not_found',
    `Previous response with id '${id.slice(0, 200)}' not found.`,
    { param: 'previous_response_id' },
  )
}

export function conversationNotFound(id: string): ApiError {
  return new ApiError('not_found', `Conversation with id '${id.slice(0, 200)}' not found.`, {
    param: 'conversation',
  })
}

function unsupported(param: string): ApiError {
  return new ApiError('unsupported_parameter', `Unsupported parameter: '${param}'.`, { param })
}
