// OpenAI's Containers API: what its paths, objects and limits are. A node answers it for its sessions of code_interpreter; the
// gateway passes it on. https://platform.openai.com/docs/api-reference/containers
import { z } from 'zod'
import { ApiError } from '../errors.ts'

export const containersPath = '/v1/containers'
/** Among the tools in a node's HELLO: it answers the Containers API through the tunnel. */
export const containersFeature = 'containers'
export const containerPrefix = 'cntr_'
/** Python's working folder, where a container's files are. */
export const dataFolder = '/mnt/data'

export const containerLimits = {
  /** Of one upload. */
  fileBytes: 16 * 1024 * 1024,
  /** What a form adds to its file. */
  formBytes: 64 * 1024,
  /** Of a body that is no file. */
  jsonBytes: 64 * 1024,
  /** How many a node may keep, and so the longest list. */
  containers: 256,
  files: 100,
} as const

/** What a path names. */
export interface ContainerTarget {
  container?: string
  part?: 'files'
  file?: string
  content?: true
}

/** Reads what follows `/v1/containers` in a path as it was sent. Throws ApiError where the API has no such path. */
export function containerTarget(method: string, pathname: string): ContainerTarget {
  const rest = pathname.slice(pathname.indexOf(containersPath) + containersPath.length)
  const [container, part, file, content, ...more] = rest.split('/').filter(Boolean).map(decoded)
  const known =
    more.length === 0 &&
    (part === undefined || part === 'files') &&
    (content === undefined || content === 'content')
  if (!known) throw new ApiError('not_found', `Unknown request URL: ${method} ${pathname}.`)
  return {
    ...(container === undefined ? {} : { container }),
    ...(part === undefined ? {} : { part }),
    ...(file === undefined ? {} : { file }),
    ...(content === undefined ? {} : { content: true }),
  }
}

/** A part that is not rightly encoded names nothing. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** The session behind a container's id; undefined for what is none of ours. */
export function sessionOf(container: string): string | undefined {
  return container.startsWith(containerPrefix) && container.length > containerPrefix.length
    ? container.slice(containerPrefix.length)
    : undefined
}

export function containerNotFound(id: string, param: string | null = null): ApiError {
  const message = `Container with id '${id.slice(0, 200)}' not found: it has ended, or there was none.`
  return new ApiError('not_found', message, { param })
}

export function containerFileNotFound(id: string): ApiError {
  return new ApiError('not_found', `Container file with id '${id.slice(0, 200)}' not found.`)
}

const seconds = z.int().min(0)

/** A container as the API shows it. */
export const containerSchema = z.looseObject({
  id: z.string().min(1).max(512),
  object: z.literal('container'),
  created_at: seconds,
  name: z.string().max(512),
  status: z.string().max(64),
})

/** A file of one. */
export const containerFileSchema = z.looseObject({
  id: z.string().min(1).max(64),
  object: z.literal('container.file'),
  container_id: z.string(),
  created_at: seconds,
  bytes: z.int().min(0),
  path: z.string(),
  source: z.string().max(64),
})

export const deletedSchema = z.looseObject({ id: z.string(), deleted: z.literal(true) })

export const containerListSchema = z.looseObject({ data: z.array(containerSchema) })
export const containerFileListSchema = z.looseObject({ data: z.array(containerFileSchema) })

export type ContainerObject = z.infer<typeof containerSchema>
export type ContainerFileObject = z.infer<typeof containerFileSchema>

interface Listed {
  id: string
  created_at: number
}

/** One page of a list that lies in memory, ordered by age. Throws ApiError where it should begin at nothing. */
export function pageOf<Entry extends Listed>(
  all: readonly Entry[],
  { after, limit, order }: { after: string | undefined; limit: number; order: 'asc' | 'desc' },
): { data: Entry[]; hasMore: boolean } {
  const sign = order === 'asc' ? 1 : -1
  const sorted = [...all].sort(
    (a, b) => sign * (a.created_at - b.created_at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)),
  )
  let first = 0
  if (after !== undefined) {
    first = sorted.findIndex(({ id }) => id === after) + 1
    if (first === 0) {
      const message = `Invalid value for 'after': '${after.slice(0, 200)}' is not in the list.`
      throw new ApiError('invalid_value', message, { param: 'after' })
    }
  }
  return { data: sorted.slice(first, first + limit), hasMore: sorted.length > first + limit }
}
