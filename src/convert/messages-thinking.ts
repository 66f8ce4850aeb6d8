// Thinking, as Anthropic's clients ask for it and give it back. Open models sign nothing, so a signature of ours says only
// where a block comes from, or, where the client wants no text, carries the text for the way back.
import type { CountTokensRequest, ThinkingBlock } from '../protocol/messages.ts'

/** How the client wants to see reasoning: not at all, as text, or as a signature alone. */
export type ThinkingDisplay = 'none' | 'shown' | 'omitted'

/** Clients that ask for no thinking read the first block as the answer. */
export function thinkingDisplay({ thinking }: CountTokensRequest): ThinkingDisplay {
  if (thinking == null || thinking.type === 'disabled') return 'none'
  return thinking.display === 'omitted' ? 'omitted' : 'shown'
}

/**
 * The reasoning effort: what `output_config` says, else the budget's size (4,096 tokens and 16,384 are the borders), else
 * the model's own choice. Three levels are all that most servers of open models take, so that the ends mean the nearest.
 */
export function effortOf(
  request: CountTokensRequest,
  override: string | null | undefined,
): 'low' | 'medium' | 'high' | undefined {
  const { thinking, output_config } = request
  const asked = override ?? output_config?.effort ?? undefined
  if (asked === 'low' || asked === 'medium') return asked
  if (asked !== undefined) return 'high'
  if (thinking?.type === 'disabled') return 'low'
  const budget = thinking?.budget_tokens
  if (thinking?.type !== 'enabled' || budget === undefined) return undefined
  return budget <= 4096 ? 'low' : budget <= 16_384 ? 'medium' : 'high'
}

const shownMark = 'sy1.shown'
const carriedMark = 'sy1.text.'

/** The signature of a block whose text is beside it. */
export const shownSignature = shownMark

/** The signature of a block whose text the client does not want: the text comes back in it. */
export function carryingSignature(text: string): string {
  let binary = ''
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte)
  return carriedMark + btoa(binary)
}

/** The reasoning that a block stands for; '' where it holds none that we can read (another server's signature). */
export function thinkingText({ thinking, signature }: ThinkingBlock): string {
  if (thinking !== '' || !signature?.startsWith(carriedMark)) return thinking
  try {
    const binary = atob(signature.slice(carriedMark.length))
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(
      Uint8Array.from(binary, (char) => char.charCodeAt(0)),
    )
  } catch {
    return ''
  }
}
