// The item that is open on the wire, and what it becomes when it is closed.
import type {
  ItemStatus,
  Logprob,
  OutputCall,
  OutputItem,
  OutputMessage,
  OutputReasoning,
  OutputRefusal,
  OutputText,
} from '../protocol/responses.ts'
import { type FreeformInput, filledCall } from './call-shape.ts'

export interface OpenMessage {
  kind: 'message'
  item: OutputMessage
  /** Finished parts; the open one is not among them. */
  parts: (OutputText | OutputRefusal)[]
  /** The part that deltas go to. */
  part: { type: 'output_text' | 'refusal'; text: string; logprobs: Logprob[] }
}
export interface OpenReasoning {
  kind: 'reasoning'
  item: OutputReasoning
  text: string
}
export interface OpenCall {
  kind: 'call'
  item: OutputCall
  arguments: string
  /** Set for a freeform tool: its text is read out of the arguments. */
  input: FreeformInput | undefined
}
export type OpenItem = OpenMessage | OpenReasoning | OpenCall

/** A part with all its text. */
export function closedPart(part: OpenMessage['part']): OutputText | OutputRefusal {
  return part.type === 'refusal'
    ? { type: 'refusal', refusal: part.text }
    : { type: 'output_text', text: part.text, annotations: [], logprobs: [...part.logprobs] }
}

/** An item with all that has come of it; `summary` puts reasoning into its summary. */
export function closedItem(open: OpenItem, status: ItemStatus, summary: boolean): OutputItem {
  switch (open.kind) {
    case 'call':
      return filledCall(open.item, status, open.input?.text ?? open.arguments)
    case 'reasoning':
      return summary
        ? { ...open.item, status, summary: [{ type: 'summary_text', text: open.text }] }
        : { ...open.item, status, content: [{ type: 'reasoning_text', text: open.text }] }
    case 'message': {
      const content = [...open.parts]
      if (status === 'in_progress') content.push(closedPart(open.part))
      return { ...open.item, status, content }
    }
  }
}
