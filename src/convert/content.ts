// Content parts between the two dialects. A part that the other side cannot say is refused by its path, never dropped.
import { ApiError } from '../errors.ts'
import type { ChatPart } from '../protocol/chat.ts'
import type { InputPart } from '../protocol/responses.ts'

/** The parts of an input message or tool output as Chat parts. */
export function partsToChat(parts: readonly InputPart[], path: string): ChatPart[] {
  return parts.map((part, index) => partToChat(part, `${path}[${index}]`))
}

function partToChat(part: InputPart, path: string): ChatPart {
  switch (part.type) {
    case 'input_text':
    case 'text':
      return { ...part, type: 'text' }
    case 'output_text': {
      const { annotations: _a, logprobs: _l, ...rest } = part
      return { ...rest, type: 'text' }
    }
    case 'refusal':
      return part
    case 'input_audio':
      return part
    case 'input_image': {
      const { type: _, image_url, detail, file_id, ...rest } = part
      if (image_url == null) throw unsupported('An image given by file_id', path)
      return {
        ...rest,
        type: 'image_url',
        image_url: { url: image_url, ...(detail == null ? {} : { detail }) },
      }
    }
    case 'input_video': {
      const { type: _, video_url, ...rest } = part
      return { ...rest, type: 'video_url', video_url: { url: video_url } }
    }
    case 'input_file': {
      const { type: _, file_url, file_data, filename, file_id, ...rest } = part
      if (file_data == null && file_id == null) throw unsupported('A file given by file_url', path)
      return {
        ...rest,
        type: 'file',
        file: {
          ...(file_data == null ? {} : { file_data }),
          ...(filename == null ? {} : { filename }),
          ...(file_id == null ? {} : { file_id }),
        },
      }
    }
    default:
      throw unsupported(`A part of type '${typeOf(part)}'`, `${path}.type`)
  }
}

/** The parts of a Chat message as Responses parts; assistant text is output_text there. */
export function partsFromChat(
  parts: readonly ChatPart[],
  role: 'input' | 'output',
  path: string,
): InputPart[] {
  return parts.map((part, index) => partFromChat(part, role, `${path}[${index}]`))
}

function partFromChat(part: ChatPart, role: 'input' | 'output', path: string): InputPart {
  switch (part.type) {
    case 'text':
      return role === 'input'
        ? { ...part, type: 'input_text' }
        : { annotations: [], ...part, type: 'output_text' }
    case 'refusal':
    case 'input_audio':
      return part
    case 'image_url': {
      const { type: _, image_url, ...rest } = part
      return {
        ...rest,
        type: 'input_image',
        image_url: image_url.url,
        ...(image_url.detail == null ? {} : { detail: image_url.detail }),
      }
    }
    case 'video_url': {
      const { type: _, video_url, ...rest } = part
      return { ...rest, type: 'input_video', video_url: video_url.url }
    }
    case 'file': {
      const { type: _, file, ...rest } = part
      return { ...rest, type: 'input_file', ...file }
    }
    default:
      throw unknownPart(typeOf(part), `${path}.type`)
  }
}

/** The words of the Responses API for what Chat calls otherwise. */
const chatNames: Readonly<Record<string, string>> = {
  input_text: 'text',
  output_text: 'text',
  input_image: 'image_url',
  input_video: 'video_url',
  input_file: 'file',
}

function unknownPart(type: string, param: string): ApiError {
  const name = Object.hasOwn(chatNames, type)
    ? ` In Chat Completions it is '${chatNames[type]}'.`
    : ''
  return new ApiError(
    'unsupported_content',
    `Content parts of type '${type}' are not known ('${param}').${name}`,
    { param },
  )
}

/** The text of parts that are all text; undefined where one is not. */
export function textOf(
  content: string | readonly (ChatPart | InputPart)[],
  separator: string,
): string | undefined {
  if (typeof content === 'string') return content
  const texts: string[] = []
  for (const part of content) {
    if (part.type !== 'text' && part.type !== 'input_text' && part.type !== 'output_text') {
      return undefined
    }
    texts.push(part.text)
  }
  return texts.join(separator)
}

/** Refuses what the upstream's dialect has no form for. */
export function unsupported(what: string, param: string): ApiError {
  return new ApiError(
    'unsupported_content',
    `${what} cannot be sent to a model that is served through Chat Completions ('${param}').`,
    { param },
  )
}

/** The type at run time: the declared unions list only the kinds that we convert. */
function typeOf(part: never): string {
  return String(Reflect.get(part, 'type'))
}
