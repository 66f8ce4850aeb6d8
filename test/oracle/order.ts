// The order oracle: checks any list of Responses stream events against the rules of Open Responses and OpenAI's API,
// independently of the code that writes them. It knows no writer, no converter and no schema of ours.

type Json = Record<string, unknown>

const requiredKeys = [
  'id object created_at completed_at status incomplete_details model previous_response_id instructions output error',
  'tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs',
  'temperature reasoning usage max_output_tokens max_tool_calls store background service_tier metadata',
  'safety_identifier prompt_cache_key',
]
  .join(' ')
  .split(' ')

const terminals = ['response.completed', 'response.incomplete', 'response.failed']

const prefixes: Record<string, string> = {
  message: 'msg_',
  function_call: 'fc_',
  reasoning: 'rs_',
  custom_tool_call: 'ctc_',
  local_shell_call: 'lsh_',
  shell_call: 'sh_',
  apply_patch_call: 'apc_',
  tool_search_call: 'tsc_',
  mcp_list_tools: 'mcpl_',
  mcp_approval_request: 'mcpr_',
  mcp_call: 'mcp_',
  web_search_call: 'ws_',
  code_interpreter_call: 'ci_',
}

/** Tools that run at the server: the steps of each item, in order; what it grows by comes after the first. */
const steps: Record<string, string[]> = {
  mcp_list_tools: ['in_progress', 'completed|failed'],
  mcp_call: ['in_progress', 'completed|failed'],
  web_search_call: ['in_progress', 'searching', 'completed'],
  code_interpreter_call: ['in_progress', 'interpreting', 'completed'],
}
/** Those without a status of their own. */
const withoutStatus = ['mcp_list_tools', 'mcp_approval_request']

/** The field of a call that deltas make up, and the start of their events' names. */
const grown: Record<string, { field: string; events: string }> = {
  function_call: { field: 'arguments', events: 'function_call_arguments.' },
  custom_tool_call: { field: 'input', events: 'custom_tool_call_input.' },
  mcp_call: { field: 'arguments', events: 'mcp_call_arguments.' },
  code_interpreter_call: { field: 'code', events: 'code_interpreter_call_code.' },
}

interface OpenPart {
  index: number
  type: string
  text: string
  /** The `….done` event with the whole text has come. */
  said: boolean
}

interface OpenItem {
  index: number
  item: Json
  part: OpenPart | undefined
  parts: unknown[]
  summaries: unknown[]
  inSummary: boolean
  arguments: string
  argumentsSaid: boolean
  /** Steps of a tool that runs at the server, as they came. */
  steps: string[]
  annotations: unknown[]
}

/** Every breach of the rules, in words; an empty list is a stream in order. */
export function checkOrder(events: readonly unknown[]): string[] {
  return new Oracle().run(events)
}

class Oracle {
  readonly #complaints: string[] = []
  readonly #done: Json[] = []
  readonly #ids = new Set<unknown>()
  #at = ''
  #open: OpenItem | undefined
  #identity: Json | undefined
  #errorSeen = false
  /** Types of snapshots that have come: each comes once. */
  readonly #lifecycle = new Set<string>()

  run(events: readonly unknown[]): string[] {
    let terminal: string | undefined
    let expected: unknown
    for (const [position, event] of events.entries()) {
      this.#at = `event ${position}`
      if (!isJson(event) || typeof event.type !== 'string') {
        this.#complain('is not an object with a type')
        continue
      }
      const { type } = event
      this.#at = `event ${position} (${type})`
      if (!Number.isInteger(event.sequence_number)) this.#complain('has no sequence_number')
      if (position === 0) expected = event.sequence_number
      this.#equal('sequence_number', event.sequence_number, expected)
      expected = Number(event.sequence_number) + 1
      if (position === 0) this.#equal('first type', type, 'response.created')
      if (position === 1 && type !== 'response.queued') {
        this.#equal('second type', type, 'response.in_progress')
      }
      if (terminal !== undefined) this.#complain(`comes after ${terminal}`)
      if (this.#errorSeen && type !== 'response.failed')
        this.#complain('comes after an error event')
      this.#event(type, event)
      if (terminals.includes(type)) terminal = type
    }
    this.#at = 'the stream'
    if (terminal === undefined) this.#complain('has no terminal event')
    return this.#complaints
  }

  #event(type: string, event: Json): void {
    if ('response' in event) {
      this.#snapshot(type, event.response)
      return
    }
    if (type === 'error') {
      this.#error(event)
      return
    }
    if (type === 'response.output_item.added') {
      this.#itemAdded(event)
      return
    }
    const open = this.#open
    if (open === undefined) {
      this.#complain('comes while no item is open')
      return
    }
    this.#equal('output_index', event.output_index, open.index)
    if (type === 'response.output_item.done') {
      this.#itemDone(open, event)
      return
    }
    this.#equal('item_id', event.item_id, open.item.id)
    const name = type.slice('response.'.length)
    if (Object.values(grown).some(({ events }) => name.startsWith(events))) {
      this.#arguments(open, name, event)
      return
    }
    if (Object.hasOwn(steps, name.slice(0, name.indexOf('.')))) {
      this.#equal('item.type', open.item.type, name.slice(0, name.indexOf('.')))
      open.steps.push(name.slice(name.indexOf('.') + 1))
      return
    }
    if (name === 'output_text.annotation.added') {
      this.#equal('annotation_index', event.annotation_index, open.annotations.length)
      this.#equal('content_index', event.content_index, open.part?.index)
      open.annotations.push(event.annotation)
      return
    }
    if (/^(content|reasoning_summary)_part\./.test(name)) {
      this.#part(open, name, event)
      return
    }
    const match =
      /^(output_text|refusal|reasoning_text|reasoning|reasoning_summary_text)\.(delta|done)$/.exec(
        name,
      )
    if (match === null) {
      this.#complain('is of no known kind')
      return
    }
    this.#text(open, match[1] ?? '', match[2] === 'delta', event)
  }

  #snapshot(type: string, response: unknown): void {
    if (!isJson(response)) {
      this.#complain('has no response object')
      return
    }
    if (this.#lifecycle.has(type)) this.#complain('comes a second time')
    this.#lifecycle.add(type)
    for (const key of requiredKeys) {
      if (!(key in response)) this.#complain(`has a response without '${key}'`)
    }
    const { id, object, created_at, model, status, output } = response
    this.#identity ??= { id, created_at, model }
    this.#equal('response.id, created_at, model', { id, created_at, model }, this.#identity)
    this.#equal('response.object', object, 'response')
    if (!String(id).startsWith('resp_')) this.#complain(`has a response id '${String(id)}'`)
    for (const key of [
      'temperature',
      'top_p',
      'presence_penalty',
      'frequency_penalty',
      'top_logprobs',
    ]) {
      if (typeof response[key] !== 'number') this.#complain(`has ${key} that is no number`)
    }
    if (!terminals.includes(type)) {
      const want = type === 'response.queued' ? 'queued' : 'in_progress'
      if (!(type === 'response.created' && status === 'queued')) this.#equal('status', status, want)
      this.#equal('response.output', output, this.#done)
      this.#equal('response.usage', response.usage, null)
      return
    }
    if (this.#open !== undefined) this.#complain('comes while an item is open')
    this.#equal('status', status, type.slice('response.'.length))
    this.#equal('response.output', output, this.#done)
    this.#equal('error is set', response.error !== null, type === 'response.failed')
    this.#equal(
      'completed_at is set',
      response.completed_at !== null,
      type === 'response.completed',
    )
    this.#equal(
      'incomplete_details is set',
      response.incomplete_details !== null,
      type === 'response.incomplete',
    )
    if (response.usage !== null) this.#usage(response.usage)
    const cut = this.#done.findIndex((item) => item.status === 'incomplete')
    if (cut !== -1 && cut !== this.#done.length - 1) {
      this.#complain('has an incomplete item that is not the last one')
    }
    if (cut !== -1 && type === 'response.completed') this.#complain('has an incomplete item')
    if (type === 'response.failed' && !this.#errorSeen)
      this.#complain('has no error event before it')
  }

  #usage(usage: unknown): void {
    const read = (object: unknown, ...keys: string[]): unknown =>
      keys.reduce<unknown>((value, key) => (isJson(value) ? value[key] : undefined), object)
    const numbers = [
      read(usage, 'input_tokens'),
      read(usage, 'output_tokens'),
      read(usage, 'total_tokens'),
      read(usage, 'input_tokens_details', 'cached_tokens'),
      read(usage, 'output_tokens_details', 'reasoning_tokens'),
    ]
    if (!numbers.every(Number.isInteger)) this.#complain('has usage that lacks a count')
  }

  #error(event: Json): void {
    this.#errorSeen = true
    if (this.#open !== undefined) this.#complain('comes while an item is open')
    const nested = isJson(event.error) ? event.error : {}
    for (const key of ['code', 'message', 'param']) {
      if (!(key in event)) this.#complain(`lacks the flat field '${key}'`)
      this.#equal(`error.${key}`, nested[key], event[key])
    }
    if (typeof nested.type !== 'string') this.#complain('lacks error.type')
  }

  #itemAdded(event: Json): void {
    const { item, output_index } = event
    if (this.#open !== undefined) this.#complain('opens an item inside another')
    if (!isJson(item)) {
      this.#complain('has no item')
      return
    }
    this.#equal('output_index', output_index, this.#done.length)
    const prefix = prefixes[String(item.type)]
    if (prefix === undefined) this.#complain(`has an item of type '${String(item.type)}'`)
    else if (!String(item.id).startsWith(prefix)) this.#complain(`has an id '${String(item.id)}'`)
    if (this.#ids.has(item.id)) this.#complain('uses an id again')
    this.#ids.add(item.id)
    const isHosted = /^(?:mcp|web_search|code_interpreter)_/.test(String(item.type))
    if (!withoutStatus.includes(String(item.type))) {
      this.#equal('item.status', item.status, 'in_progress')
    }
    if (item.type === 'message') {
      this.#equal('role', item.role, 'assistant')
      this.#equal('content', item.content, [])
    } else if (item.type === 'reasoning') this.#equal('summary', item.summary, [])
    else {
      const field = grown[String(item.type)]?.field
      if (field !== undefined) this.#equal(field, item[field], '')
      if (!isHosted && ((field !== undefined && !item.name) || !item.call_id)) {
        this.#complain('lacks name or call_id')
      }
      if (!isHosted) {
        if (this.#ids.has(`call:${String(item.call_id)}`)) this.#complain('uses a call_id again')
        this.#ids.add(`call:${String(item.call_id)}`)
      }
    }
    this.#open = {
      index: this.#done.length,
      item,
      part: undefined,
      parts: [],
      summaries: [],
      inSummary: false,
      arguments: '',
      argumentsSaid: false,
      steps: [],
      annotations: [],
    }
  }

  #itemDone(open: OpenItem, event: Json): void {
    const { item } = event
    if (open.part !== undefined) this.#complain('closes an item with an open part')
    this.#open = undefined
    if (!isJson(item)) {
      this.#complain('has no item')
      return
    }
    this.#done.push(item)
    for (const key of ['id', 'type', 'role', 'phase', 'call_id', 'name', 'namespace']) {
      this.#equal(`item.${key}`, item[key], open.item[key])
    }
    this.#steps(open, item)
    const ends =
      open.steps.length > 0 ? ['completed', 'incomplete', 'failed'] : ['completed', 'incomplete']
    if (!withoutStatus.includes(String(item.type)) && !ends.includes(String(item.status))) {
      this.#complain(`has an item with status '${String(item.status)}'`)
    }
    const call = grown[String(item.type)]
    if (call !== undefined) {
      if (open.steps.length > 0 && item.status === 'incomplete') return
      this.#equal(`item.${call.field}`, item[call.field], open.arguments)
      if (!open.argumentsSaid) this.#complain(`had no ${call.events}done`)
      return
    }
    // Calls without deltas: all is in the finished item.
    if (item.type !== 'message' && item.type !== 'reasoning') return
    const { content = [] } = item
    this.#equal('item.content', content, open.parts)
    if (item.type === 'message' && item.status === 'completed' && open.parts.length === 0) {
      this.#complain('has no part')
    }
    if (item.type === 'reasoning') this.#equal('item.summary', item.summary, open.summaries)
  }

  #steps(open: OpenItem, item: Json): void {
    const wanted = steps[String(item.type)]
    if (wanted === undefined) return
    // One that was cut has come so far.
    const cut = item.status === 'incomplete'
    if (!cut && open.steps.length !== wanted.length) this.#complain(`has steps ${open.steps}`)
    for (const [index, step] of open.steps.entries()) {
      if (!wanted[index]?.split('|').includes(step)) this.#complain(`has the step '${step}' there`)
    }
  }

  #part(open: OpenItem, name: string, event: Json): void {
    const summary = name.startsWith('reasoning_summary')
    const index = summary ? event.summary_index : event.content_index
    const { part } = event
    if (open.item.type !== 'message' && open.item.type !== 'reasoning') {
      this.#complain('is a part of a call')
    }
    if (!isJson(part)) {
      this.#complain('has no part')
      return
    }
    const whole = summary ? open.summaries : open.parts
    this.#equal('part index', index, whole.length)
    const text = part.type === 'refusal' ? part.refusal : part.text
    if (name.endsWith('added')) {
      if (open.part !== undefined) this.#complain('opens a part inside another')
      this.#equal('new part', text, '')
      open.inSummary = summary
      open.part = { index: whole.length, type: String(part.type), text: '', said: false }
      const kinds: Record<string, string[]> = {
        message: ['output_text', 'refusal'],
        reasoning: [summary ? 'summary_text' : 'reasoning_text'],
      }
      const allowed = kinds[String(open.item.type)] ?? []
      if (!allowed.includes(String(part.type))) this.#complain(`has a part '${String(part.type)}'`)
      return
    }
    if (open.part === undefined) {
      this.#complain('closes a part that is not open')
      return
    }
    if (!open.part.said) this.#complain('closes a part whose text was not said as a whole')
    this.#equal('part type', part.type, open.part.type)
    this.#equal('part text', text, open.part.text)
    if (part.type === 'output_text') this.#equal('annotations', part.annotations, open.annotations)
    open.annotations = []
    whole.push(part)
    open.part = undefined
  }

  #text(open: OpenItem, kind: string, isDelta: boolean, event: Json): void {
    const { part } = open
    if (part === undefined) {
      this.#complain('comes outside of a part')
      return
    }
    const summary = kind === 'reasoning_summary_text'
    const types: Record<string, string> = {
      output_text: 'output_text',
      refusal: 'refusal',
      reasoning_text: 'reasoning_text',
      reasoning: 'reasoning_text',
      reasoning_summary_text: 'summary_text',
    }
    this.#equal('part type', part.type, types[kind])
    this.#equal('part index', summary ? event.summary_index : event.content_index, part.index)
    if (part.said) this.#complain('comes after the text was said as a whole')
    if (kind === 'output_text' && !Array.isArray(event.logprobs))
      this.#complain('has no logprobs list')
    if (isDelta) {
      if (typeof event.delta !== 'string') this.#complain('has no delta')
      part.text += String(event.delta)
      return
    }
    part.said = true
    this.#equal('whole text', kind === 'refusal' ? event.refusal : event.text, part.text)
  }

  #arguments(open: OpenItem, name: string, event: Json): void {
    const call = grown[String(open.item.type)]
    if (call === undefined || !name.startsWith(call.events)) {
      this.#complain('is no part of this item')
      return
    }
    if (open.argumentsSaid) this.#complain('comes after the arguments were said as a whole')
    if (name.endsWith('delta')) {
      open.arguments += String(event.delta)
      return
    }
    open.argumentsSaid = true
    this.#equal(call.field, event[call.field], open.arguments)
  }

  #equal(what: string, actual: unknown, expected: unknown): void {
    const [a, b] = [canonical(actual), canonical(expected)]
    if (a !== b) this.#complain(`${what} is ${a}, expected ${b}`)
  }

  #complain(message: string): void {
    this.#complaints.push(`${this.#at}: ${message}`)
  }
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** JSON with sorted keys, so that order of keys is no difference. */
function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_key, inner: unknown) =>
      isJson(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
        : inner,
    ) ?? 'undefined'
  )
}
