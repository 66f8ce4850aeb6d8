// The search engines by the names that the configuration knows them by.
import type { BackendOptions, SearchBackend } from './backend.ts'
import { brave } from './brave.ts'
import { exa } from './exa.ts'
import { searxng } from './searxng.ts'
import { youcom } from './youcom.ts'

export type BackendName = 'searxng' | 'brave' | 'exa' | 'youcom'

const backends: Record<
  BackendName,
  { needs: 'url' | 'key'; create: (options: BackendOptions) => SearchBackend }
> = {
  searxng: { needs: 'url', create: searxng },
  brave: { needs: 'key', create: brave },
  exa: { needs: 'key', create: exa },
  youcom: { needs: 'key', create: youcom },
}

/** The client of an engine. Throws where the configuration lacks what it needs. */
export function createBackend(name: BackendName, options: BackendOptions): SearchBackend {
  const { needs, create } = backends[name]
  const { url } = options
  if (!options[needs]) throw new Error(`web_search with ${name} needs a ${needs}`)
  if (url !== undefined && !(URL.canParse(url) && /^https?:/i.test(url))) {
    throw new Error(`web_search: the url of ${name} must be an http or https URL`)
  }
  return create(options)
}
