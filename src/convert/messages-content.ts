// Images, documents and search results of Messages as parts of the canonical request.
import { ApiError } from '../errors.ts'
import type { DocumentSource, ImageSource, ResultBlock } from '../protocol/messages.ts'
import type { InputPart } from '../protocol/responses.ts'

/** The parts that a block becomes; throws ApiError for one that no upstream of ours could read. */
export function partsOf(block: ResultBlock, path: string): InputPart[] {
  switch (block.type) {
    case 'text':
      return block.text === '' ? [] : [text(block.text)]
    case 'image':
      return [image(block.source, `${path}.source`)]
    case 'document': {
      const about = [block.title, block.context].filter((line) => line != null && line !== '')
      const heading = about.length === 0 ? [] : [text(about.join('\n'))]
      return [...heading, ...documentParts(block.source, block.title, `${path}.source`)]
    }
    case 'search_result': {
      const lines = [block.title, block.source, ...block.content.map((part) => part.text)]
      return [text(lines.join('\n'))]
    }
    case 'tool_reference':
      return [text(`The tool ${block.tool_name} is available now.`)]
  }
}

function text(value: string): InputPart {
  return { type: 'input_text', text: value }
}

function image(source: ImageSource, path: string): InputPart {
  switch (source.type) {
    case 'base64':
      return { type: 'input_image', image_url: dataUrl(source) }
    case 'url':
      return { type: 'input_image', image_url: source.url }
    case 'file':
      throw noFiles(path)
    default:
      throw unknownSource(source, path)
  }
}

function documentParts(
  source: DocumentSource,
  title: string | null | undefined,
  path: string,
): InputPart[] {
  const filename = title == null || title === '' ? 'document.pdf' : title
  switch (source.type) {
    case 'base64':
      return [{ type: 'input_file', filename, file_data: dataUrl(source) }]
    case 'url':
      return [{ type: 'input_file', file_url: source.url }]
    case 'text':
      return [text(source.data)]
    case 'content':
      if (typeof source.content === 'string') return [text(source.content)]
      return source.content.flatMap((block, index) => partsOf(block, `${path}.content[${index}]`))
    case 'file':
      throw noFiles(path)
    default:
      throw unknownSource(source, path)
  }
}

function dataUrl({ media_type, data }: { media_type: string; data: string }): string {
  return `data:${media_type};base64,${data}`
}

function noFiles(path: string): ApiError {
  return new ApiError('unsupported_content', `No files are stored here ('${path}.file_id').`, {
    param: `${path}.file_id`,
  })
}

function unknownSource(source: never, path: string): ApiError {
  const type = String(Reflect.get(source, 'type'))
  return new ApiError('unsupported_content', `A source of type '${type}' cannot be read here.`, {
    param: `${path}.type`,
  })
}
