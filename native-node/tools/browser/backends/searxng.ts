// SearXNG, usually one's own: GET {url}/search?q=…&format=json. Needs `json` under search.formats in its settings, else 403.
// https://docs.searxng.org/dev/search_api.html
import {
  askEngine,
  type BackendOptions,
  listOf,
  type SearchBackend,
  textOf,
  withSites,
} from './backend.ts'

const engine = 'SearXNG'

/** A client of the instance at `url`; a `key` goes along as a bearer token, for an instance behind a proxy. */
export function searxng({ url = '', key, fetch }: BackendOptions): SearchBackend {
  const base = url.replace(/\/+$/, '').replace(/\/search$/, '')
  return {
    async search(query, { topn, signal, domains }) {
      // It takes no number of results, and hands site: on to engines that know it.
      const asked = new URLSearchParams({ q: withSites(query, domains, 1000), format: 'json' })
      const { results } = await askEngine({
        engine,
        url: `${base}/search?${asked}`,
        headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
        signal,
        fetch,
      })
      return listOf(engine, results)
        .slice(0, topn)
        .map((hit) => ({
          title: textOf(hit.title),
          url: textOf(hit.url),
          snippet: textOf(hit.content),
        }))
    },
  }
}
