// Which kinds of input a request carries, and where: a text-only model must refuse an image, never answer as if it were not there.
import { isObject } from '../protocol/check.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'

/** A part that is not text: its modality and its path in the canonical request. */
export interface FoundPart {
  modality: string
  type: string
  /** `input[0].content[1]` */
  path: string
}

const modalities: ReadonlyMap<string, string> = new Map([
  ['input_image', 'image'],
  ['image_url', 'image'],
  ['input_file', 'file'],
  ['file', 'file'],
  ['input_audio', 'audio'],
  ['input_video', 'video'],
])

/** Every part of the input that is not text, in order. */
export function findParts(request: Pick<ResponsesRequest, 'input'>): FoundPart[] {
  if (!Array.isArray(request.input)) return []
  const found: FoundPart[] = []
  request.input.forEach((item: unknown, index) => {
    if (!isObject(item)) return
    for (const field of ['content', 'output']) {
      const parts = item[field]
      if (!Array.isArray(parts)) continue
      parts.forEach((part: unknown, at) => {
        if (!isObject(part) || typeof part.type !== 'string') return
        const modality = modalities.get(part.type)
        if (modality)
          found.push({ modality, type: part.type, path: `input[${index}].${field}[${at}]` })
      })
    }
  })
  return found
}
