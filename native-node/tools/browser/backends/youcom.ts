// You.com: POST /v1/search with the key in X-API-Key; pages of the web and news. `livecrawl` adds the pages as Markdown.
// https://docs.you.com/api-reference/search/v1-search-post

import { isObject } from '../../../../src/protocol/check.ts'
import {
  askEngine,
  type BackendOptions,
  joined,
  listOf,
  type SearchBackend,
  SearchError,
  textOf,
} from './backend.ts'

const engine = 'You.com'
const maxCount = 100

/** A client of You.com's API. */
export function youcom({
  url = 'https://ydc-index.io',
  key = '',
  fetch,
}: BackendOptions): SearchBackend {
  return {
    async search(query, { topn, signal, domains, country, wantsPages }) {
      const { results } = await askEngine({
        engine,
        url: `${url.replace(/\/+$/, '')}/v1/search`,
        headers: { 'x-api-key': key },
        body: {
          query,
          count: Math.min(topn, maxCount),
          ...(domains === undefined ? {} : { include_domains: domains }),
          ...(country === undefined ? {} : { country: country.toUpperCase() }),
          ...(wantsPages
            ? { livecrawl: 'web', livecrawl_formats: ['markdown'], crawl_timeout: 5 }
            : {}),
        },
        signal,
        fetch,
      })
      if (!isObject(results)) {
        throw new SearchError(`${engine} answered in a form that is not known here`)
      }
      // News are left out of the answer where the query is about none.
      const hits = [...listOf(engine, results.web ?? []), ...listOf(engine, results.news ?? [])]
      return hits.slice(0, topn).map((hit) => {
        const text = isObject(hit.contents) ? textOf(hit.contents.markdown) : ''
        return {
          title: textOf(hit.title),
          url: textOf(hit.url),
          snippet: joined(hit.snippets, ' … ') || textOf(hit.description),
          ...(text === '' ? {} : { text }),
        }
      })
    },
  }
}
