// `/v1/conversations`: lists of items that responses go on from and add to.
// https://platform.openai.com/docs/api-reference/conversations
import { ApiError, toApiError } from '../errors.ts'
import { readJson } from '../json.ts'
import { isObject } from '../protocol/check.ts'
import { parseResponsesRequest } from '../protocol/responses.ts'
import type { Conversation, Conversations, Json } from '../store/store.ts'
import type { FaceDeps } from './deps.ts'
import { listObject, pageQuery } from './list-query.ts'
import { decoded } from './stored.ts'
import { isReference, storedItems } from './turn.ts'
import { unknownUrl, wrongMethod } from './unknown-url.ts'

type Deps = Pick<FaceDeps, 'newId' | 'maxBodyBytes' | 'onError'>

/** Items that one request may bring. */
const maxItems = 20

/** Answers a request about conversations; `path` is what follows `/conversations`. Every fault becomes a response. */
export async function handleConversations(
  request: Request,
  path: string,
  conversations: Conversations | undefined,
  deps: Deps,
): Promise<Response> {
  try {
    const [id, part, itemId, ...rest] = path.split('/').filter(Boolean).map(decoded)
    const unknown = rest.length > 0 || (part !== undefined && part !== 'items')
    if (unknown || conversations === undefined) {
      throw unknownUrl(request.method, new URL(request.url).pathname)
    }
    const call = new ConversationCall(request, conversations, deps)
    if (id === undefined) return await call.all()
    if (part === undefined) return await call.one(id)
    return await (itemId === undefined ? call.items(id) : call.item(id, itemId))
  } catch (thrown) {
    const error = toApiError(thrown)
    if (error.status >= 500) deps.onError?.(thrown)
    return error.toResponse()
  }
}

class ConversationCall {
  readonly #request: Request
  readonly #conversations: Conversations
  readonly #deps: Deps

  constructor(request: Request, conversations: Conversations, deps: Deps) {
    this.#request = request
    this.#conversations = conversations
    this.#deps = deps
  }

  async all(): Promise<Response> {
    this.#only('POST')
    const { metadata, items } = await this.#body()
    const made = await this.#conversations.create(checkedMetadata(metadata), this.#items(items))
    return Response.json(conversationObject(made))
  }

  async one(id: string): Promise<Response> {
    switch (this.#only('GET', 'POST', 'DELETE')) {
      case 'GET':
        return Response.json(conversationObject((await this.#conversations.get(id)) ?? missing(id)))
      case 'POST': {
        const { metadata } = await this.#body()
        if (metadata === undefined) throw required('metadata')
        const updated = await this.#conversations.update(id, checkedMetadata(metadata))
        return Response.json(conversationObject(updated ?? missing(id)))
      }
      default:
        if (!(await this.#conversations.remove(id))) missing(id)
        return Response.json({ id, object: 'conversation.deleted', deleted: true })
    }
  }

  async items(id: string): Promise<Response> {
    if (this.#only('GET', 'POST') === 'GET') {
      const query = pageQuery(new URL(this.#request.url).searchParams)
      return Response.json(listObject((await this.#conversations.list(id, query)) ?? missing(id)))
    }
    const { items } = await this.#body()
    if (items === undefined) throw required('items')
    const data = (await this.#conversations.append(id, this.#items(items))) ?? missing(id)
    return Response.json(listObject({ data, hasMore: false }))
  }

  async item(id: string, itemId: string): Promise<Response> {
    if (this.#only('GET', 'DELETE') === 'GET') {
      return Response.json((await this.#conversations.item(id, itemId)) ?? missingItem(itemId))
    }
    const conversation = (await this.#conversations.get(id)) ?? missing(id)
    if (!(await this.#conversations.removeItem(id, itemId))) missingItem(itemId)
    return Response.json(conversationObject(conversation))
  }

  #only(...methods: string[]): string {
    const { url } = this.#request
    const method = this.#request.method === 'HEAD' ? 'GET' : this.#request.method
    if (methods.includes(method)) return method
    const { pathname } = new URL(url)
    throw wrongMethod(method, pathname, methods)
  }

  async #body(): Promise<Json> {
    if (this.#request.body === null) return {}
    const body = await readJson(this.#request, this.#deps.maxBodyBytes)
    if (isObject(body)) return body
    throw new ApiError('invalid_request', 'The request body must be a JSON object.')
  }

  #items(items: unknown): Json[] {
    if (items == null) return []
    if (!Array.isArray(items)) throw invalid('items', 'expected a list')
    if (items.length > maxItems) throw invalid('items', `expected at most ${maxItems} items`)
    checked({ input: items }, 'input', 'items')
    // It would be read again where nobody looks up what it stands for.
    const reference = items.findIndex(isReference)
    if (reference !== -1) {
      throw invalid(`items[${reference}]`, 'a reference cannot be kept; send the item itself')
    }
    const { newId } = this.#deps
    return storedItems(items.filter(isObject), newId, 'items')
  }
}

/** The checks of a request's own fields, under the name that they have here. */
function checked(fields: Json, name: string, shown: string): void {
  try {
    parseResponsesRequest({ model: 'none', input: '', ...fields })
  } catch (thrown) {
    const error = toApiError(thrown)
    const rename = (text: string) => text.replace(name, () => shown)
    const param = error.param === null ? null : rename(error.param)
    throw error.with({ message: rename(error.message), param })
  }
}

function checkedMetadata(metadata: unknown): Record<string, string> {
  checked({ metadata }, 'metadata', 'metadata')
  return isObject(metadata) ? (metadata as Record<string, string>) : {}
}

function conversationObject({ id, createdAt, metadata }: Conversation): Json {
  return { id, object: 'conversation', created_at: createdAt, metadata }
}

function missing(id: string): never {
  throw new ApiError('not_found', `Conversation with id '${id.slice(0, 200)}' not found.`)
}

function missingItem(id: string): never {
  throw new ApiError('not_found', `Item with id '${id.slice(0, 200)}' not found.`)
}

function required(param: string): ApiError {
  return new ApiError('missing_required_parameter', `Missing required parameter: '${param}'.`, {
    param,
  })
}

function invalid(param: string, problem: string): ApiError {
  return new ApiError('invalid_value', `Invalid value for '${param}': ${problem}.`, { param })
}
