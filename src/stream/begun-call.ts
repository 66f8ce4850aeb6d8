// A call of a tool that is about to be made, as a journal keeps it: all that its item has to say if nobody lives to tell what
// came of it.

type Json = Record<string, unknown>

export interface BegunCall {
  /** The item as a client first sees it. */
  announced: Json
  /** Events between the announcement and what the model writes, without `response.`. */
  begun: readonly string[]
  /** The field of the item that the model's text makes up, and the start of its events' names. */
  grows?: { field: string; events: string } | undefined
  /** Events before it runs. */
  running: readonly string[]
  /** What the model wrote. */
  text: string
  /** The item and its last events where the result is lost: it may have run. */
  end: { item: Json; events: readonly string[] }
}

/** What a client was told of an item before the writer was lost. */
export interface Told {
  /** Types of its events. */
  types: ReadonlySet<string>
  /** What its deltas make up. */
  written: string
}

const nothing: Told = { types: new Set(), written: '' }

/** The events that are left to say of a lost call's item, in order and without their numbers. */
export function lostEvents(call: BegunCall, output_index: number, told: Told = nothing) {
  const { announced, begun, grows, running, text, end } = call
  const { types, written } = told
  const at = { item_id: announced.id, output_index }
  const said = (names: readonly string[]) =>
    names.map((name): [string, Json] => [`response.${name}`, at])
  const growth: [string, Json][] = []
  if (grows !== undefined) {
    const name = `response.${grows.events}`
    const isWhole = types.has(`${name}.done`) || !text.startsWith(written)
    const delta = isWhole ? '' : text.slice(written.length)
    if (delta !== '') growth.push([`${name}.delta`, { ...at, delta }])
    growth.push([`${name}.done`, { ...at, [grows.field]: text }])
  }
  const all: [string, Json][] = [
    ['response.output_item.added', { output_index, item: announced }],
    ...said(begun),
    ...growth,
    ...said(running),
    ...said(end.events),
    ['response.output_item.done', { output_index, item: end.item }],
  ]
  return all.filter(([type]) => type.endsWith('.delta') || !types.has(type))
}
