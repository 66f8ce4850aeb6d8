// A file that a client puts into a container: a form with the one field `file`, read whole within its limit.
import { ApiError } from '../../src/errors.ts'
import { readJson } from '../../src/json.ts'
import { isObject } from '../../src/protocol/check.ts'
import { containerLimits } from '../../src/tools/containers.ts'
import { isInside } from '../../src/tools/hosted-wire.ts'

export interface Upload {
  /** Relative to the container's folder. */
  path: string
  bytes: Uint8Array
}

/** Read and forgotten beyond the limit: a client that is answered while it still writes may see a reset and no answer. */
const spareBytes = 32 * 1024 * 1024
/** A client that sends no faster than this is of no use to anybody. */
const uploadMs = 120_000
const discardMs = 10_000
const longestPath = 255

/** Throws ApiError for a body that is not one file in a form. */
export async function readUpload(request: Request): Promise<Upload> {
  const type = request.headers.get('content-type') ?? ''
  if (/^application\/json\b/i.test(type)) throw await jsonRefusal(request)
  if (!/^multipart\/form-data\b/i.test(type)) {
    const message = 'Send the file as multipart/form-data, in the field `file`.'
    throw new ApiError('unsupported_media_type', message)
  }
  const { fileBytes, formBytes } = containerLimits
  const body = await readBytes(request, fileBytes + formBytes)
  const file = await fileIn(body, type)
  if (file.size > fileBytes) throw tooLarge()
  return { path: pathOf(file.name), bytes: new Uint8Array(await file.arrayBuffer()) }
}

/** Reads and forgets what is left of a body: a client that is answered while it still writes may not see the answer. */
export async function discard(request: Request): Promise<void> {
  if (request.bodyUsed || request.body === null) return
  const reader = request.body.getReader()
  const timer = setTimeout(() => reader.cancel().catch(() => {}), discardMs)
  let length = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      length += value.byteLength
      if (length > spareBytes) await reader.cancel()
    }
  } catch {
    // Gone: nobody is left to be told.
  } finally {
    clearTimeout(timer)
  }
}

/** The JSON form of the request names a file of the Files API. */
async function jsonRefusal(request: Request): Promise<ApiError> {
  const body = await readJson(request, containerLimits.jsonBytes)
  if (isObject(body) && body.file_id != null) {
    const message = `Unsupported parameter: 'file_id': there is no Files API here; send the file itself as multipart/form-data.`
    return new ApiError('unsupported_parameter', message, { param: 'file_id' })
  }
  return missing()
}

async function readBytes(request: Request, most: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let length = 0
  const reader = request.body?.getReader()
  let late = false
  const timer = setTimeout(() => {
    late = true
    reader?.cancel().catch(() => {})
  }, uploadMs)
  try {
    for (;;) {
      const { done, value } = (await reader?.read().catch(cutShort)) ?? { done: true }
      if (done || value === undefined) break
      length += value.byteLength
      if (length <= most) chunks.push(value)
      else chunks.length = 0
      if (length > most + spareBytes) await reader?.cancel().catch(() => {})
    }
  } finally {
    clearTimeout(timer)
  }
  if (late) throw new ApiError('invalid_request', 'The file took too long to come.')
  if (length > most) throw tooLarge()
  return Buffer.concat(chunks, length)
}

async function fileIn(body: Uint8Array<ArrayBuffer>, type: string): Promise<File> {
  let form: FormData
  try {
    form = await new Response(body, { headers: { 'content-type': type } }).formData()
  } catch (cause) {
    const message = 'The request body is no complete multipart/form-data.'
    throw new ApiError('invalid_request', message, { cause })
  }
  const files = form.getAll('file')
  const [file] = files
  if (file === undefined && form.has('file_id')) {
    const message = `Unsupported parameter: 'file_id': there is no Files API here; send the file itself.`
    throw new ApiError('unsupported_parameter', message, { param: 'file_id' })
  }
  if (file === undefined) throw missing()
  if (files.length > 1) throw invalid('expected one file')
  if (typeof file === 'string') throw invalid('expected a file with its name, not a text')
  return file
}

/** A name may have folders in it, all below the container's own. */
function pathOf(name: string): string {
  if (name.length > longestPath) {
    throw invalid(`its name must have ${longestPath} characters at most`)
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
  if (!isInside(name) || /[\x00-\x1f\x7f]|\p{Surrogate}/u.test(name)) {
    throw invalid(
      'its name must be a relative path without "..", backslashes and control characters',
    )
  }
  return name
}

/** The client ended its body before it was whole. */
function cutShort(cause: unknown): never {
  const message = 'The request body ended before it was complete.'
  throw new ApiError('invalid_request', message, { cause })
}

function tooLarge(): ApiError {
  const message = `The file is larger than ${containerLimits.fileBytes} bytes.`
  return new ApiError('body_too_large', message, { param: 'file' })
}

function missing(): ApiError {
  const message = "Missing required parameter: 'file'."
  return new ApiError('missing_required_parameter', message, { param: 'file' })
}

function invalid(problem: string): ApiError {
  const message = `Invalid value for 'file': ${problem}.`
  return new ApiError('invalid_value', message, { param: 'file' })
}
