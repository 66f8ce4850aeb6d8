import { describe, expect, it } from 'vitest'
import { ApiError, parseJson, readJson } from '../../src/index.ts'

const request = (body: BodyInit, headers: Record<string, string> = {}) =>
  new Request('http://localhost/', {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
  } as RequestInit)

const failure = async (run: () => unknown): Promise<Partial<ApiError>> => {
  try {
    await run()
  } catch (thrown) {
    if (thrown instanceof ApiError) return thrown
    throw thrown
  }
  throw new Error('nothing was thrown')
}

/** A body without a length, and a count of what was read of it. */
function endless(chunk: Uint8Array): { body: ReadableStream<Uint8Array>; pulled: () => number } {
  let pulled = 0
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++
      controller.enqueue(chunk)
    },
  })
  return { body, pulled: () => pulled }
}

describe('readJson', () => {
  it('reads a body, with a byte order mark and with a character split between chunks', async () => {
    expect(await readJson(request('\uFEFF{"a":[1,"é"]}'), 100)).toEqual({ a: [1, 'é'] })
    const bytes = new TextEncoder().encode('{"a":"漢"}')
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
        controller.close()
      },
    })
    expect(await readJson(request(body), 100)).toEqual({ a: '漢' })
  })

  it.each(['application/json; charset=utf-8', 'Application/JSON', 'application/problem+json'])(
    'takes the content-type %s',
    async (type) => {
      expect(await readJson(request('{}', { 'content-type': type }), 100)).toEqual({})
    },
  )

  it('names the content-encoding of a body that it cannot read', async () => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
    const packed = new Response('{"a":1}').body?.pipeThrough(new CompressionStream('gzip'))
    const error = await failure(() => readJson(request(packed ?? '', headers), 100))
    expect(error).toMatchObject({ code: 'unsupported_media_type', status: 415 })
    expect(String(error)).toContain("'gzip'")
    const plain = { ...headers, 'content-encoding': 'identity' }
    expect(await failure(() => readJson(request('{', plain), 100))).toMatchObject({ status: 400 })
  })

  it.each(['text/plain', 'application/x-www-form-urlencoded', ''])(
    'refuses the content-type %j',
    async (type) => {
      const error = await failure(() => readJson(request('{}', { 'content-type': type }), 100))
      expect(error).toMatchObject({ code: 'unsupported_media_type', status: 415 })
    },
  )

  it('keeps nothing beyond the limit, whatever the length says, and stops reading soon', async () => {
    const piece = 1 << 20
    const { body, pulled } = endless(new Uint8Array(piece))
    const error = await failure(() => readJson(request(body), 1000))
    expect(error).toMatchObject({ code: 'body_too_large', status: 413 })
    // A client that writes on for a while sees the answer and no reset.
    expect(pulled()).toBeGreaterThan(16)
    expect(pulled()).toBeLessThan(40)
    const declared = request('{}', { 'content-length': '5000' })
    expect(await failure(() => readJson(declared, 1000))).toMatchObject({ status: 413 })
    expect(await failure(() => readJson(request(`"${'x'.repeat(2000)}"`), 1000))).toMatchObject({
      status: 413,
    })
  })

  it('refuses invalid UTF-8', async () => {
    const bytes = Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)
    expect(await failure(() => readJson(request(bytes), 100))).toMatchObject({
      code: 'invalid_json',
    })
    const cut = Uint8Array.of(0x22, 0xe6)
    expect(await failure(() => readJson(request(cut), 100))).toMatchObject({ code: 'invalid_json' })
  })
})

describe('parseJson', () => {
  it.each([
    '{}',
    '[]',
    '{"a":{"b":[1,-2.5e3,true,null,"\\"}{][:,"]}}',
    '{"a\\"b":1,"c\\\\":"\\\\\\\\"}',
    `${'['.repeat(64)}${']'.repeat(64)}`,
    '{"content":"__proto__ and constructor"}',
    '{"tools":[{"parameters":{"properties":{"constructor":{"type":"string"}}}}]}',
    '"\\ud83d\\ude00"',
    '1e308',
  ])('takes %s', (text) => {
    expect(parseJson(text)).toEqual(JSON.parse(text))
  })

  it.each([
    ['nothing', ''],
    ['no JSON', '{a:1}'],
    ['an open string', '{"a'],
    ['two values', '{} {}'],
    ['65 levels', `${'['.repeat(65)}${']'.repeat(65)}`],
    ['100,000 levels', '['.repeat(100_000)],
    ['too many keys', `{${Array.from({ length: 100_001 }, (_, index) => `"${index}":0`).join()}}`],
    ['a key twice', '{"model":"a","model":"b"}'],
    ['a key twice, deep', '{"a":[{"b":1,"\\u0062":2}]}'],
    ['infinity', '{"a":1e400}'],
    ['minus infinity', '{"a":-1e400}'],
    ['a very long number', `{"a":${'9'.repeat(400)}}`],
    ['NaN', '{"a":NaN}'],
    ['a lone surrogate', '{"a":"\\ud800"}'],
    ['a lone surrogate in a key', '{"\\udc00":1}'],
    ['__proto__', '{"__proto__":{"x":1}}'],
    ['__proto__, deep and escaped', '{"a":[{"\\u005f_proto__":1}]}'],
    ['constructor at the top', '{"constructor":{}}'],
    ['prototype at the top', '{"prototype":{}}'],
  ])('refuses %s', async (_name, text) => {
    expect(await failure(() => parseJson(text))).toMatchObject({
      code: 'invalid_json',
      status: 400,
    })
  })

  it('takes time in proportion to the text', () => {
    // A quadratic scan would take minutes.
    expect(parseJson(`"${'\\\\'.repeat(2_000_000)}"`)).toHaveLength(2_000_000)
  })
})
