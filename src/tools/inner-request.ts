// A client's request as the loop asks the model: the tools that run here in the model's words, their items in the history as
// calls and outputs, and nothing of what only the outer response knows (store, background, metadata).
import { isObject } from '../protocol/check.ts'
import type { InputItem, ResponsesRequest, Tool, ToolChoice } from '../protocol/responses.ts'
import type { Json, Runner } from './runner.ts'

/** Fields of the outer response, or of how it is told. */
const outerFields = [
  'store',
  'background',
  'conversation',
  'previous_response_id',
  'metadata',
  'stream',
  'stream_options',
  'max_tool_calls',
] as const

export interface InnerInput {
  items: InputItem[]
  /** For each of them, where it was in the client's input; undefined: it was made here. */
  from: (number | undefined)[]
}

/** The history as the model reads it. */
export function innerInput(
  input: ResponsesRequest['input'],
  runners: readonly Runner[],
): InnerInput {
  if (typeof input === 'string') {
    const content = [{ type: 'input_text' as const, text: input }]
    return { items: [{ type: 'message', role: 'user', content }], from: [0] }
  }
  const inner: InnerInput = { items: [], from: [] }
  for (const [index, item] of input.entries()) {
    for (const each of recalled(item, runners)) {
      inner.items.push(each)
      inner.from.push(each === item ? index : undefined)
    }
  }
  return inner
}

function recalled(item: InputItem, runners: readonly Runner[]): InputItem[] {
  for (const runner of runners) {
    const own = runner.recall?.(item)
    if (own !== undefined) return own
  }
  return [item]
}

/** Everything of a turn's request but its input; `rest`: the client's tools that do not run here. */
export function innerRequest(
  request: ResponsesRequest,
  runners: readonly Runner[],
  rest: readonly Tool[],
): ResponsesRequest {
  const inner: Json = { ...request }
  for (const field of outerFields) delete inner[field]
  const include = request.include?.filter((value) => value !== 'reasoning.encrypted_content')
  if (include !== undefined) inner.include = include
  inner.tools = [...rest, ...runners.flatMap(({ tools }) => tools)]
  const choice = innerChoice(request.tool_choice, runners)
  if (choice === undefined) delete inner.tool_choice
  else inner.tool_choice = choice
  return { ...inner, input: [] } as unknown as ResponsesRequest
}

/** Text of the turns within that names tools by their places there, with the places where the client wrote them. */
export function atClientsTools(
  text: string,
  rest: readonly Tool[],
  { tools = [] }: ResponsesRequest,
): string {
  return text.replace(/\btools\[(\d+)\]/g, (_, index: string) => {
    const tool = rest[Number(index)]
    const at = tool === undefined ? -1 : (tools ?? []).indexOf(tool)
    return at < 0 ? 'tools' : `tools[${at}]`
  })
}

/** tool_choice with tools of ours under the names that the model knows. */
function innerChoice(
  choice: ResponsesRequest['tool_choice'],
  runners: readonly Runner[],
): ToolChoice | undefined {
  if (!isObject(choice)) return choice ?? undefined
  const ofRunner = (entry: Json): Json[] => {
    for (const runner of runners) {
      const own = runner.choice(entry)
      if (own !== undefined) return own
    }
    return [entry]
  }
  if (choice.type === 'allowed_tools' && Array.isArray(choice.tools)) {
    return { ...choice, tools: choice.tools.flatMap(ofRunner) } as ToolChoice
  }
  const own = ofRunner(choice)
  if (own.length === 1 && own[0] === choice) return choice
  return { type: 'allowed_tools', mode: 'required', tools: own } as ToolChoice
}

/**
 * From the second turn on: a choice that asked for a call has had it, and the model may answer or call any tool; of
 * `allowed_tools` the list stays. `asked` is the client's own choice, `inner` the same in the model's words.
 */
export function afterFirst(
  inner: ToolChoice | undefined,
  asked: ResponsesRequest['tool_choice'],
): ToolChoice | undefined {
  if (inner === 'required') return 'auto'
  if (!isObject(inner)) return inner
  const isList = isObject(asked) && asked.type === 'allowed_tools'
  return isList && inner.type === 'allowed_tools' ? { ...inner, mode: 'auto' } : 'auto'
}
