// A web on loopback: pages of a site, and the four search engines as they were documented (test/fixtures/web-search).
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Address } from '../../../native-node/server/pinned-get.ts'

export const fixture = (name: string) =>
  readFileSync(new URL(`../../fixtures/web-search/${name}`, import.meta.url), 'utf8')

/** What an engine was asked. */
export interface Asked {
  method: string
  path: string
  query: URLSearchParams
  headers: IncomingMessage['headers']
  body: unknown
}

export class FakeWeb {
  readonly pages = new Map<string, RequestListener>()
  /** Host and path of each page that was asked for. */
  readonly fetched: string[] = []
  readonly asked: Asked[] = []
  /** Answers any engine's request, where one is set. */
  answer: RequestListener | undefined
  #server: Server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://web')
    const page = this.pages.get(url.pathname)
    if (page !== undefined) {
      this.fetched.push(`${request.headers.host}${url.pathname}`)
      page(request, response)
      return
    }
    void this.#engine(request, url).then((fixed) => {
      if (this.answer !== undefined) this.answer(request, response)
      else if (fixed === undefined) response.writeHead(404).end()
      else response.writeHead(200, { 'content-type': 'application/json' }).end(fixed)
    })
  })

  async start(): Promise<void> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done))
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((done) => this.#server.close(done))
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Where the engines are. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Everything that has a name lives here. */
  readonly resolve = async (): Promise<Address[]> => [{ address: '127.0.0.1', family: 4 }]

  async #engine(request: IncomingMessage, url: URL): Promise<string | undefined> {
    let body = ''
    for await (const piece of request) body += piece
    const { method = '', headers } = request
    const asked = { method, path: url.pathname, query: url.searchParams, headers }
    this.asked.push({ ...asked, body: body === '' ? undefined : JSON.parse(body) })
    const engines: Record<string, string> = {
      'GET /searx/search': 'searxng',
      'GET /res/v1/web/search': 'brave',
      'POST /search': 'exa',
      'POST /v1/search': 'youcom',
    }
    const engine = engines[`${method} ${url.pathname}`]
    return engine === undefined ? undefined : fixture(`${engine}/search.json`)
  }
}
