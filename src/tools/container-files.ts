// Files that a call of code_interpreter has made, as the client sees them: images among the call's outputs, and every file as
// an annotation of the message that follows, by which it is fetched from the Containers API.
import { dataFolder } from './containers.ts'
import type { HostedOutputFile } from './hosted.ts'
import type { Json } from './runner.ts'

/** Images as the call's item shows them. */
export function imageOutputs(files: readonly HostedOutputFile[]): Json[] {
  return files.flatMap((file) => {
    const url = file.mediaType.startsWith('image/') ? dataUrl(file) : undefined
    return url === undefined ? [] : [{ type: 'image', url }]
  })
}

/** Annotations that are not placed in a text yet: `placed` does that. */
export function fileCitations(files: readonly HostedOutputFile[], container_id: string): Json[] {
  return files.map((file) => {
    const { path, id } = file
    const citation = {
      type: 'container_file_citation',
      container_id,
      file_id: id ?? `cfile_${path}`,
      filename: path.slice(path.lastIndexOf('/') + 1),
      path,
    }
    // From a host without the Containers API there is nothing to fetch later.
    return id === undefined ? { ...citation, url: dataUrl(file) } : citation
  })
}

/** The later citation of a file stands for the earlier ones: it is fetched as it is then. */
export function lastCitations(citations: readonly Json[]): Json[] {
  const last = new Map(citations.map((each) => [`${each.container_id} ${each.file_id}`, each]))
  return [...last.values()]
}

/**
 * A citation in its text: over the link to the file, as models write them (`sandbox:/mnt/data/a.csv`), else at the end.
 * Indices count characters, not UTF-16 units.
 */
export function placed(citation: Json, text: string): Json {
  const { path, ...rest } = citation
  const link = typeof path === 'string' ? linkTo(path, text) : undefined
  const start = link?.start ?? text.length
  const start_index = [...text.slice(0, start)].length
  return { ...rest, start_index, end_index: start_index + [...(link?.text ?? '')].length }
}

/** The first mention of the file's whole path. */
function linkTo(path: string, text: string): { start: number; text: string } | undefined {
  const encoded = path.split('/').map(encodedPart).join('/')
  for (const name of encoded === path ? [path] : [path, encoded]) {
    for (const prefix of ['sandbox:', '']) {
      const link = `${prefix}${dataFolder}/${name}`
      for (let at = text.indexOf(link); at !== -1; at = text.indexOf(link, at + 1)) {
        // Else it is the beginning of another file's name.
        if (!/^[\w/-]|^\.\w/.test(text.slice(at + link.length, at + link.length + 2))) {
          return { start: at, text: link }
        }
      }
    }
  }
  return undefined
}

/** Half of a pair cannot be encoded. */
function encodedPart(part: string): string {
  return encodeURIComponent(part.replace(/\p{Surrogate}/gu, '\ufffd'))
}

function dataUrl({ mediaType, data }: HostedOutputFile): string | undefined {
  return data === undefined ? undefined : `data:${mediaType};base64,${data}`
}
