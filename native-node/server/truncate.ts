// `truncation: auto`: where a conversation is longer than the model's context, its oldest turns give way. Whole turns, as a
// call without its output (or the other way round) is no conversation; instructions always stay.
import type { InputItem, ResponsesRequest } from '../../src/protocol/responses.ts'

/** The prompt of a request, its oldest turns left out as far as needed; the whole one where nothing helps. */
export async function fittingPrompt(
  request: ResponsesRequest,
  limit: number,
  encode: (request: ResponsesRequest) => Promise<readonly number[]>,
): Promise<readonly number[]> {
  const whole = await encode(request)
  const { input } = request
  if (request.truncation !== 'auto' || typeof input === 'string' || whole.length <= limit) {
    return whole
  }
  const starts = turnStarts(input)
  let fitting: readonly number[] | undefined
  // The fewest turns that must go: each try encodes the rest, so that they are halved and not counted down.
  for (let low = 1, high = starts.length - 1; low <= high; ) {
    const left = Math.floor((low + high) / 2)
    const prompt = await encode({ ...request, input: withoutTurns(input, starts, left) })
    if (prompt.length <= limit) {
      fitting = prompt
      high = left - 1
    } else low = left + 1
  }
  return fitting ?? whole
}

/** Where each turn begins: at a user's message that does not follow another one. */
function turnStarts(input: readonly InputItem[]): number[] {
  const starts: number[] = []
  for (const [index, item] of input.entries()) {
    const before = input[index - 1]
    if (roleOf(item) === 'user' && (before === undefined || roleOf(before) !== 'user')) {
      starts.push(index)
    }
  }
  return starts
}

function withoutTurns(
  input: readonly InputItem[],
  starts: readonly number[],
  count: number,
): InputItem[] {
  const from = starts[count] ?? input.length
  return input.filter((item, index) => index >= from || isInstruction(item))
}

function isInstruction(item: InputItem): boolean {
  const role = roleOf(item)
  return role === 'system' || role === 'developer'
}

function roleOf(item: InputItem): unknown {
  return 'role' in item ? item.role : undefined
}
