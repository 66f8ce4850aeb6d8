// The turns of a conversation: what the assistant said in one go, and on which channel a call of it was made.
import { type Channel, channelOf } from './harmony-header.ts'
import type { HarmonyMessage } from './harmony-message.ts'
import { controlIds, type Vocabulary } from './vocabulary.ts'

/** The output of a built-in tool stands on the channel of its call: thinking, unless the model has chosen another. */
export function onChannel(item: HarmonyMessage, called: Channel | undefined): HarmonyMessage {
  if (item.role !== 'tool' || item.channel !== 'analysis' || called === undefined) return item
  return { ...item, channel: called }
}

/** The channel of the last message in tokens of the model. */
export function lastChannel(ids: readonly number[], vocabulary: Vocabulary): Channel | undefined {
  const at = ids.lastIndexOf(controlIds(vocabulary).channel)
  if (at === -1) return undefined
  const decoder = new TextDecoder()
  let text = ''
  for (const id of ids.slice(at + 1, at + 9)) {
    if (vocabulary.isSpecial(id)) break
    text += decoder.decode(vocabulary.tokenBytes(id), { stream: true })
  }
  return channelOf(text.trim().split(/\s/)[0])
}

/** Consecutive messages of the assistant are one turn; every other message is one of its own. */
export function turnsOf(messages: readonly HarmonyMessage[]): HarmonyMessage[][] {
  const turns: HarmonyMessage[][] = []
  for (const item of messages) {
    const last = turns.at(-1)
    if (last?.[0]?.role === 'assistant' && item.role === 'assistant') last.push(item)
    else turns.push([item])
  }
  return turns
}

/** True for a turn of the assistant that waits for a tool. */
export function endsInCall(turn: readonly HarmonyMessage[]): boolean {
  const recipient = turn.at(-1)?.recipient ?? 'all'
  return turn[0]?.role === 'assistant' && recipient !== 'all'
}
