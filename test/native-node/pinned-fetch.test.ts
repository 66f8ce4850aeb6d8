// Requests of a node to servers that clients name: to the address that was checked, or to none.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mcpTools } from '../../native-node/server/mcp-tools.ts'
import { pinnedFetch } from '../../native-node/server/pinned-fetch.ts'
import { UrlRefused } from '../../native-node/server/pinned-get.ts'

let connections = 0
const seen: string[] = []
const server = createServer((request, response) => {
  seen.push(`${request.method} ${request.headers.host}${request.url}`)
  if (request.url === '/empty') return response.writeHead(204).end()
  if (request.url === '/moved')
    return response.writeHead(307, { location: 'http://10.0.0.1/' }).end()
  if (request.url === '/hang') return
  response.writeHead(201, { 'content-type': 'text/plain', 'set-cookie': ['a=1', 'b=2'] })
  request.pipe(response)
})
server.on('connection', () => connections++)
let port = 0
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const loopback = async () => [{ address: '127.0.0.1', family: 4 }]

describe('a pinned request', () => {
  it('goes to the address behind the name, with the name in its head', async () => {
    const fetch = pinnedFetch({ policy: { allowHosts: [`mcp.test:${port}`] }, resolve: loopback })
    const body = JSON.stringify({ text: 'ä' })
    const response = await fetch(`http://mcp.test:${port}/mcp?a=1`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    expect(response.status).toBe(201)
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    expect(await response.text()).toBe(body)
    expect(seen.at(-1)).toBe(`POST mcp.test:${port}/mcp?a=1`)
  })

  it('shares a connection with the ones before', async () => {
    const fetch = pinnedFetch({ policy: { allowHosts: [`127.0.0.1:${port}`] } })
    const before = connections
    for (let at = 0; at < 3; at++) await (await fetch(`http://127.0.0.1:${port}/`)).text()
    expect(connections - before).toBe(1)
  })

  it('asks for the addresses anew each time, and refuses what is not public', async () => {
    const answers = ['93.184.215.14', '127.0.0.1', '10.0.0.1', '::1', 'fe80::1', '169.254.169.254']
    const asked: string[] = []
    for (const address of answers.slice(1)) {
      const fetch = pinnedFetch({
        policy: undefined,
        resolve: async (host) => {
          asked.push(host)
          return [
            { address: answers[0] ?? '', family: 4 },
            { address, family: address.includes(':') ? 6 : 4 },
          ]
        },
      })
      await expect(fetch('http://mcp.example.com/mcp')).rejects.toThrow(UrlRefused)
    }
    expect(asked).toEqual(answers.slice(1).map(() => 'mcp.example.com'))
  })

  it('is refused as a fault for the tool loop', async () => {
    const { host } = mcpTools({ resolve: loopback })
    await expect(host.fetch('https://mcp.example.com/mcp', {})).rejects.toMatchObject({
      name: 'McpFault',
      kind: 'http_error',
      code: 403,
    })
  })

  it('follows no redirect', async () => {
    const fetch = pinnedFetch({ policy: { allowHosts: [`127.0.0.1:${port}`] } })
    const response = await fetch(`http://127.0.0.1:${port}/moved`)
    expect([response.status, response.headers.get('location')]).toEqual([307, 'http://10.0.0.1/'])
  })

  it('knows answers without a body', async () => {
    const fetch = pinnedFetch({ policy: { allowHosts: [`127.0.0.1:${port}`] } })
    const response = await fetch(`http://127.0.0.1:${port}/empty`, { method: 'DELETE' })
    expect([response.status, response.body]).toEqual([204, null])
  })

  it('ends with its signal', async () => {
    const fetch = pinnedFetch({ policy: { allowHosts: [`127.0.0.1:${port}`] } })
    const controller = new AbortController()
    const hanging = fetch(`http://127.0.0.1:${port}/hang`, { signal: controller.signal })
    controller.abort()
    await expect(hanging).rejects.toMatchObject({ name: 'AbortError' })
    await expect(
      fetch(`http://127.0.0.1:${port}/hang`, { signal: controller.signal }),
    ).rejects.toMatchObject({ name: 'AbortError' })
  })
})
