// Exa: POST /search with the key in x-api-key. Gives passages and, with `contents.text`, the page as Markdown.
// https://exa.ai/docs/reference/search
import {
  askEngine,
  type BackendOptions,
  joined,
  listOf,
  type SearchBackend,
  textOf,
} from './backend.ts'

const engine = 'Exa'
const maxCount = 100
/** Longer pages are fetched when the model opens them. */
const maxText = 20_000

/** A client of Exa's API. */
export function exa({
  url = 'https://api.exa.ai',
  key = '',
  fetch,
}: BackendOptions): SearchBackend {
  return {
    async search(query, { topn, signal, domains, country, wantsPages }) {
      const { results } = await askEngine({
        engine,
        url: `${url.replace(/\/+$/, '')}/search`,
        headers: { 'x-api-key': key },
        body: {
          query,
          type: 'auto',
          numResults: Math.min(topn, maxCount),
          contents: {
            highlights: true,
            ...(wantsPages ? { text: { maxCharacters: maxText } } : {}),
          },
          ...(domains === undefined ? {} : { includeDomains: domains }),
          ...(country === undefined ? {} : { userLocation: country.toUpperCase() }),
        },
        signal,
        fetch,
      })
      return listOf(engine, results).map((hit) => {
        const text = textOf(hit.text)
        return {
          title: textOf(hit.title),
          url: textOf(hit.url),
          snippet: joined(hit.highlights, ' … ') || text.slice(0, 300),
          // One that was cut is no page.
          ...(text !== '' && text.length < maxText ? { text } : {}),
        }
      })
    },
  }
}
