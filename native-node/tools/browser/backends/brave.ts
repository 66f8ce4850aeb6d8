// Brave Search: GET /res/v1/web/search with the key in X-Subscription-Token; at most 20 results, 400 characters of query.
// https://api-dashboard.search.brave.com/api-reference/web/search/get

import { isObject } from '../../../../src/protocol/check.ts'
import { htmlToText } from '../html-text.ts'
import {
  askEngine,
  type BackendOptions,
  joined,
  listOf,
  type SearchBackend,
  textOf,
  withSites,
} from './backend.ts'

const engine = 'Brave Search'
const maxQuery = 400
const maxCount = 20

/** A client of Brave's API. */
export function brave({
  url = 'https://api.search.brave.com',
  key = '',
  fetch,
}: BackendOptions): SearchBackend {
  return {
    async search(query, { topn, signal, domains, country }) {
      const asked = new URLSearchParams({
        q: withSites(query, domains, maxQuery).slice(0, maxQuery),
        count: String(Math.min(topn, maxCount)),
        text_decorations: 'false',
        result_filter: 'web',
        // Left out of the answer where the plan does not have them.
        extra_snippets: 'true',
      })
      if (country !== undefined) asked.set('country', country.toUpperCase())
      const { web } = await askEngine({
        engine,
        url: `${url.replace(/\/+$/, '')}/res/v1/web/search?${asked}`,
        headers: { 'x-subscription-token': key },
        signal,
        fetch,
      })
      // An answer without pages has no `web`.
      const results = web === undefined ? [] : isObject(web) ? web.results : web
      return listOf(engine, results).map((hit) => ({
        title: plain(textOf(hit.title)),
        url: textOf(hit.url),
        snippet: plain([textOf(hit.description), joined(hit.extra_snippets, ' … ')].join(' … ')),
      }))
    },
  }
}

/** Titles and descriptions come with character references, and with tags here and there. */
function plain(html: string): string {
  return htmlToText(html, '').text.replace(/ … $/, '')
}
