// The egress guard against its vectors, and over every field of every API that can carry a URL.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { isPublicAddress, parseV6 } from '../../../src/egress/addresses.ts'
import { type EgressPolicy, refusalOf } from '../../../src/egress/egress.ts'
import { findUrls } from '../../../src/egress/request-urls.ts'

type Vectors = Record<string, string[]>
function vectors(name: string): Vectors {
  const file = new URL(`../../fixtures/egress/${name}.json`, import.meta.url)
  return JSON.parse(readFileSync(file, 'utf8'))
}
const refused = vectors('refused')
const allowed = vectors('allowed')

describe('vectors', () => {
  it('are many, and none stands in both lists', () => {
    const bad = Object.values(refused).flat()
    expect(new Set(bad).size).toBeGreaterThanOrEqual(300)
    expect(
      Object.values(allowed)
        .flat()
        .filter((url) => bad.includes(url)),
    ).toEqual([])
  })

  it.each(Object.keys(refused))('refused, however it is used: %s', (group) => {
    for (const use of ['hand-on', 'resolve', 'fetch'] as const) {
      const passed = refused[group]?.filter((url) => refusalOf(url, {}, use) === undefined)
      expect(passed).toEqual([])
    }
  })

  it.each(Object.keys(allowed))('allowed: %s', (group) => {
    const refusals = allowed[group]?.flatMap((url) => refusalOf(url) ?? [])
    expect(refusals).toEqual([])
  })

  it('what the guard reads as a host is what a URL parser reads', () => {
    for (const url of Object.values(allowed)
      .flat()
      .filter((each) => /^http/i.test(each))) {
      const host = /^https?:\/\/(\[[^\]]+\]|[^/:?#]+)/i.exec(url)?.[1]?.toLowerCase()
      expect(new URL(url).hostname).toBe(host)
    }
  })

  it('a refusal says nothing of the URL itself', () => {
    for (const url of Object.values(refused).flat()) {
      if (url.length > 12) expect(refusalOf(url)).not.toContain(url)
    }
  })
})

describe('the allow-list', () => {
  const policy: EgressPolicy = {
    allowHosts: [
      'images.example.com',
      '*.cdn.example.com',
      'files.internal:9000',
      '10.0.0.5',
      '[::1]',
    ],
  }
  it.each([
    'https://images.example.com/x',
    'https://IMAGES.example.com./x',
    'https://a.cdn.example.com/x',
    'https://a.b.cdn.example.com/x',
    'http://files.internal:9000/x',
    'http://10.0.0.5/x',
    'http://[::1]/x',
    'data:image/png;base64,AA',
  ])('lets %s pass', (url) => {
    expect(refusalOf(url, policy, 'hand-on')).toBeUndefined()
    expect(refusalOf(url, policy, 'fetch')).toBeUndefined()
  })
  it.each([
    'https://example.com/x',
    'https://cdn.example.com/x',
    'https://evilcdn.example.com/x',
    'https://images.example.com.evil.com/x',
    'https://images.example.com:8443/x',
    'https://user@images.example.com/x',
    'ftp://images.example.com/x',
    'http://files.internal/x',
    'http://10.0.0.6/x',
    'http://8.8.8.8/x',
    'https://127-0-0-1.cdn.example.com/x',
    'http://0x0a000005/x',
  ])('refuses %s', (url) => {
    expect(refusalOf(url, policy)).toBeDefined()
  })
  it('without one, a name is not fetched where it cannot be resolved', () => {
    expect(refusalOf('https://example.com/', {}, 'fetch')).toContain('egress.allowHosts')
    expect(refusalOf('https://example.com/', {}, 'resolve')).toBeUndefined()
    expect(refusalOf('https://8.8.8.8/', {}, 'fetch')).toBeUndefined()
  })
})

describe('bounds', () => {
  it('long URLs and long data', () => {
    expect(refusalOf(`https://example.com/${'a'.repeat(8200)}`)).toContain('longer')
    expect(refusalOf(`data:image/png;base64,${'A'.repeat(1 << 20)}`)).toBeUndefined()
    expect(refusalOf(`data:image/png;base64,${'A'.repeat(25 << 20)}`)).toContain('longer')
  })
})

describe('addresses', () => {
  it.each([
    ['::', [0, 0, 0, 0, 0, 0, 0, 0]],
    ['::1', [0, 0, 0, 0, 0, 0, 0, 1]],
    ['2001:db8::1:2', [0x2001, 0xdb8, 0, 0, 0, 0, 1, 2]],
    ['::ffff:1.2.3.4', [0, 0, 0, 0, 0, 0xffff, 0x102, 0x304]],
    ['1:2:3:4:5:6:7:8', [1, 2, 3, 4, 5, 6, 7, 8]],
    ['1:2:3:4:5:6:7::', [1, 2, 3, 4, 5, 6, 7, 0]],
    ['1:2:3:4:5:6:7', undefined],
    ['1:2:3:4:5:6:7:8:9', undefined],
    ['1::2::3', undefined],
    ['::g', undefined],
    ['::1.2.3', undefined],
    ['fe80::1%eth0', undefined],
  ])('%s', (text, groups) => {
    expect(parseV6(text)).toEqual(groups)
  })
  it('what is no address is not public', () => {
    for (const text of ['', 'example.com', '1.2.3', '01.2.3.4', '::']) {
      expect(isPublicAddress(text)).toBe(false)
    }
  })
})

describe('finding URLs', () => {
  it('by the name of their field, at any depth, and nowhere in words', () => {
    const found = findUrls({
      input: [
        {
          type: 'message',
          content: [
            {
              type: 'input_text',
              text: 'http://localhost/ is text',
              annotations: [{ url: 'http://a' }],
            },
            { type: 'input_image', image_url: 'u1' },
            { type: 'image_url', image_url: { url: 'u2' } },
            { type: 'video_url', video_url: { url: 'u3' } },
            { type: 'input_file', file_url: 'u4', file_data: 'AAAA' },
            { type: 'input_file', file_data: 'http://u5' },
            { type: 'novel', deep: { imageUrls: ['u6', { uri: 'u7' }] } },
          ],
        },
        { type: 'function_call', name: 'open', arguments: '{"url":"http://localhost"}' },
        { type: 'computer_call_output', output: { type: 'computer_screenshot', image_url: 'u8' } },
        { type: 'web_search_call', action: { type: 'open_page', url: 'http://localhost' } },
      ],
      tools: [
        { type: 'mcp', server_url: 'u9' },
        {
          type: 'function',
          name: 'f',
          parameters: { properties: { url: { default: 'x' } }, url: 'no' },
        },
      ],
      metadata: { callback_url: 'http://localhost' },
    })
    expect(found.map(({ url, path }) => [url, path])).toEqual([
      ['u1', 'input[0].content[1].image_url'],
      ['u2', 'input[0].content[2].image_url.url'],
      ['u3', 'input[0].content[3].video_url.url'],
      ['u4', 'input[0].content[4].file_url'],
      ['http://u5', 'input[0].content[5].file_data'],
      ['u6', 'input[0].content[6].deep.imageUrls[0]'],
      ['u7', 'input[0].content[6].deep.imageUrls[1].uri'],
      ['u8', 'input[2].output.image_url'],
      ['u9', 'tools[0].server_url'],
    ])
  })

  const url = 'http://10.0.0.1/x'
  it.each([
    { 'image-url': url },
    { ' url ': url },
    { IMAGE_URLS: [[url]] },
    { urls: { first: url } },
    { image_url: { source: { path: url } } },
    { image_url: [[{ url }]] },
    { image: url },
    { images: [url] },
    { video_path: url },
    { src: url },
    { input_audio: { data: url, format: 'wav' } },
    { file: { file_data: ` ${url}` } },
  ])('in the fields and forms that some server reads: %j', (part) => {
    const input = [{ role: 'user', content: [{ type: 'novel', ...part }] }]
    const found = findUrls({ input })
    expect(found.map((each) => each.url.trim())).toEqual([url])
    found[0]?.replace('data:,')
    expect(JSON.stringify(input)).not.toContain('10.0.0.1')
  })

  it('takes no bytes and no words for one', () => {
    const image_url = { url: 'https://example.com/', detail: 'low', metadata: { note: 'a: b' } }
    const content = [{ image_url }, { data: 'AAAA' }, { image: 'AAAA' }, { src: 'left' }]
    expect(findUrls({ content })).toHaveLength(1)
  })
})
