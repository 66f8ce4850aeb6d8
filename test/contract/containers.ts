// What the Containers API is to OpenAI's own client, wherever it is served: the gateway in front of a node, and `serve`.
import OpenAI, { APIError, toFile } from 'openai'
import type { ContainerCreateParams } from 'openai/resources/containers/containers'
import type {
  Response,
  ResponseOutputMessage,
  ResponseOutputText,
} from 'openai/resources/responses/responses'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { chunk, completion, json, sse, type TestUpstream, textStream } from '../gateway/upstream.ts'

export interface ContainerStage {
  /** `http://127.0.0.1:…`, before `/v1`. */
  base: string
  key: string
  model: string
  upstream: TestUpstream
  stop(): Promise<void>
}

/** The model calls `python` with each piece of code in turn, and then says `text`. */
export function calling(upstream: TestUpstream, codes: readonly string[], text = 'Done.'): void {
  let turn = 0
  upstream.reply((response, { path, body }) => {
    if (path.endsWith('/models')) return json(response, 200, { data: [{ id: 'model' }] })
    const code = codes[turn++]
    if (code === undefined && body.stream) return sse(response, ...textStream(text))
    if (code === undefined) return json(response, 200, completion(text))
    const call = { name: 'python', arguments: JSON.stringify({ input: code }) }
    const tool_calls = [{ id: `call_${turn}`, type: 'function', function: call }]
    if (body.stream) {
      const delta = {
        role: 'assistant',
        tool_calls: tool_calls.map((each) => ({ index: 0, ...each })),
      }
      return sse(response, chunk(delta), chunk({}, 'tool_calls'), 'data: [DONE]\n\n')
    }
    const message = { role: 'assistant', content: null, tool_calls }
    const choices = [{ index: 0, message, finish_reason: 'tool_calls' }]
    json(response, 200, { ...completion(''), choices })
  })
}

export function errorOf(work: Promise<unknown>): Promise<APIError> {
  return work.then(
    () => {
      throw new Error('It was answered.')
    },
    (error: unknown) => {
      if (error instanceof APIError) return error
      throw error
    },
  )
}

const mebibyte = 1024 * 1024

export function containersContract(name: string, start: () => Promise<ContainerStage>): void {
  describe(`the Containers API of ${name}`, () => {
    let stage: ContainerStage
    let client: OpenAI
    beforeAll(async () => {
      stage = await start()
      const { base, key } = stage
      client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0 })
      // The first Python of all may start from nothing.
      const { id } = await client.containers.create({ name: 'warm' })
      await client.containers.files.create(id, { file: await toFile(Buffer.from('x'), 'x') })
      await client.containers.delete(id)
    }, 60_000)
    afterAll(() => stage.stop())

    const raw = (path: string, init: RequestInit = {}) =>
      fetch(`${stage.base}/v1/containers${path}`, {
        ...init,
        headers: { authorization: `Bearer ${stage.key}`, ...init.headers },
      })
    const put = async (container: string, name: string, text: string | Uint8Array) =>
      client.containers.files.create(container, { file: await toFile(Buffer.from(text), name) })
    const read = async (container: string, file: string) => {
      const response = await client.containers.files.content.retrieve(file, {
        container_id: container,
      })
      return { response, bytes: Buffer.from(await response.arrayBuffer()) }
    }
    const ask = (container: string | object, more: string | object = {}) =>
      client.responses.create({
        model: stage.model,
        input: 'Hi',
        // Every container that the API knows, and some that it does not.
        tools: [{ type: 'code_interpreter', container: container as string }],
        ...(typeof more === 'string' ? { input: more } : more),
        stream: false,
      })
    const containerOf = ({ output }: Response): string =>
      output.find((item) => item.type === 'code_interpreter_call')?.container_id ?? ''

    it('takes files in, runs code over them, and gives files out by their citations', async () => {
      const container = await client.containers.create({ name: 'sums' })
      expect(container).toMatchObject({
        object: 'container',
        name: 'sums',
        status: 'running',
        expires_after: { anchor: 'last_active_at', minutes: 20 },
        network_policy: { type: 'disabled' },
      })
      expect(container.id).toMatch(/^cntr_.{16,}$/)
      const given = await put(container.id, 'zählung.csv', 'n\n40\n2\n')
      expect(given).toMatchObject({
        object: 'container.file',
        container_id: container.id,
        path: '/mnt/data/zählung.csv',
        bytes: 7,
        source: 'user',
      })
      const text = 'The sum: [csv](sandbox:/mnt/data/out/summe.csv). 𝛴 Bye.'
      calling(
        stage.upstream,
        [
          "import os, csv\nrows = [int(r['n']) for r in csv.DictReader(open('zählung.csv'))]\nsum(rows)",
          "os.mkdir('out'); open('out/summe.csv', 'w').write(f'{sum(rows)}\\n')\nopen('a.png', 'wb').write(b'PNG');",
        ],
        text,
      )
      const response = await ask(container.id)
      const calls = response.output.filter((item) => item.type === 'code_interpreter_call')
      expect(calls).toMatchObject([
        { container_id: container.id, outputs: [{ type: 'logs', logs: '42\n' }] },
        {
          container_id: container.id,
          outputs: [{ type: 'image', url: 'data:image/png;base64,UE5H' }],
        },
      ])
      const message = response.output.at(-1) as ResponseOutputMessage
      const [part] = message.content as ResponseOutputText[]
      const link = 'sandbox:/mnt/data/out/summe.csv'
      const start = text.indexOf(link)
      expect(part?.annotations).toHaveLength(2)
      const cited = part?.annotations.find(
        (each) => each.type === 'container_file_citation' && each.filename === 'summe.csv',
      )
      expect(cited).toEqual({
        type: 'container_file_citation',
        container_id: container.id,
        file_id: expect.stringMatching(/^cfile_[0-9a-f]{32}$/),
        filename: 'summe.csv',
        start_index: start,
        end_index: start + link.length,
      })
      if (cited?.type !== 'container_file_citation') throw new Error('no citation')
      const { response: download, bytes } = await read(cited.container_id, cited.file_id)
      expect(bytes.toString()).toBe('42\n')
      expect(Object.fromEntries(download.headers)).toMatchObject({
        'content-type': 'text/csv',
        'content-disposition': 'attachment; filename="summe.csv"; filename*=UTF-8\'\'summe.csv',
        'x-content-type-options': 'nosniff',
      })
      const files = await client.containers.files.list(container.id, { order: 'asc' })
      expect(files.data.map(({ path, source }) => [path, source])).toEqual(
        expect.arrayContaining([
          ['/mnt/data/zählung.csv', 'user'],
          ['/mnt/data/out/summe.csv', 'assistant'],
        ]),
      )
      const at = { container_id: container.id }
      const found = await client.containers.files.retrieve(cited.file_id, at)
      expect(found).toMatchObject({ id: cited.file_id, bytes: 3 })
      await client.containers.files.delete(cited.file_id, at)
      expect(await errorOf(client.containers.files.retrieve(cited.file_id, at))).toMatchObject({
        status: 404,
        code: 'not_found',
      })
      await client.containers.delete(container.id)
    })

    it('tells the files of earlier rounds, and each once, streamed or not', async () => {
      const { id } = await client.containers.create({ name: 'rounds' })
      const codes = [
        "open('a.txt','w').write('1');",
        "open('b.txt','w').write('2');",
        "open('a.txt','w').write('3');",
      ]
      for (const stream of [false, true]) {
        calling(stage.upstream, codes)
        const request = {
          model: stage.model,
          input: 'Hi',
          tools: [{ type: 'code_interpreter' as const, container: id }],
        }
        const response = stream
          ? await client.responses.stream(request).finalResponse()
          : await client.responses.create(request)
        const [part] = (response.output.at(-1) as ResponseOutputMessage)
          .content as ResponseOutputText[]
        expect(part?.annotations).toMatchObject([
          { filename: 'a.txt', start_index: 5, end_index: 5 },
          { filename: 'b.txt' },
        ])
      }
      await client.containers.delete(id)
    })

    it('lists containers and files in pages, by age and by name', async () => {
      const made = []
      for (const name of ['p', 'q', 'p']) made.push(await client.containers.create({ name }))
      const ids = made.map(({ id }) => id)
      const all = []
      for await (const each of client.containers.list({ limit: 1, order: 'asc' })) all.push(each.id)
      expect(all).toEqual(expect.arrayContaining(ids))
      const named = []
      for await (const each of client.containers.list({ name: 'p', limit: 1 })) named.push(each.id)
      expect(named.sort()).toEqual([ids[0], ids[2]].sort())
      const [id = ''] = ids
      for (let n = 0; n < 5; n++) {
        // The client's own names lose their folders.
        const body = new FormData()
        body.append('file', new Blob([String(n)]), `dir/${n}.txt`)
        expect((await raw(`/${id}/files`, { method: 'POST', body })).status).toBe(200)
      }
      const paths = []
      for await (const { path } of client.containers.files.list(id, { limit: 2 })) paths.push(path)
      expect(paths.sort()).toEqual([0, 1, 2, 3, 4].map((n) => `/mnt/data/dir/${n}.txt`))
      for (const each of ids) await client.containers.delete(each)
      expect(await errorOf(client.containers.list({ after: 'cntr_none' }))).toMatchObject({
        param: 'after',
      })
    })

    it('says of a container that has ended that it is not there, everywhere', async () => {
      const { id } = await client.containers.create({ name: 'short' })
      const { id: file } = await put(id, 'a', 'b')
      expect(await raw(`/${id}`, { method: 'DELETE' }).then((r) => r.json())).toEqual({
        id,
        object: 'container.deleted',
        deleted: true,
      })
      const at = { container_id: id }
      for (const work of [
        () => client.containers.retrieve(id),
        () => client.containers.delete(id),
        () => client.containers.files.list(id),
        () => put(id, 'a', 'b'),
        () => put(id, 'big', new Uint8Array(8 * mebibyte)),
        () => client.containers.files.retrieve(file, at),
        () => client.containers.files.delete(file, at),
        () => client.containers.files.content.retrieve(file, at),
      ]) {
        const error = await errorOf(work())
        expect(error).toMatchObject({
          status: 404,
          type: 'invalid_request_error',
          code: 'not_found',
        })
        expect(error.message).toContain(`Container with id '${id}' not found`)
      }
      calling(stage.upstream, ['1'])
      expect(await errorOf(ask(id))).toMatchObject({ status: 404, param: 'tools[0].container' })
    })

    it('refuses what it cannot make, with the field at fault', async () => {
      const bad: [unknown, string | null][] = [
        [{}, 'name'],
        [{ name: '' }, 'name'],
        [{ name: 'x'.repeat(300) }, 'name'],
        [{ name: 'x', file_ids: ['file-1'] }, 'file_ids'],
        [{ name: 'x', skills: [{ type: 'skill_reference', skill_id: 's' }] }, 'skills'],
        [{ name: 'x', memory_limit: '64g' }, 'memory_limit'],
        [{ name: 'x', memory_limit: '2g' }, 'memory_limit'],
        [
          { name: 'x', expires_after: { anchor: 'created_at', minutes: 5 } },
          'expires_after.anchor',
        ],
        [
          { name: 'x', expires_after: { anchor: 'last_active_at', minutes: 21 } },
          'expires_after.minutes',
        ],
        [
          { name: 'x', network_policy: { type: 'allowlist', allowed_domains: ['a.test'] } },
          'network_policy',
        ],
        [[], null],
      ]
      for (const [body, param] of bad) {
        const error = await errorOf(client.containers.create(body as ContainerCreateParams))
        expect(error).toMatchObject({ status: 400, param, type: 'invalid_request_error' })
      }
      const given = { anchor: 'last_active_at', minutes: 3 } as const
      const made = await client.containers.create({ name: 'x', file_ids: [], expires_after: given })
      expect(made.expires_after).toEqual(given)
      await client.containers.delete(made.id)
      const wrong = await raw('', { method: 'PUT' })
      expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, POST'])
      const { id } = await client.containers.create({ name: 'methods' })
      const type = { 'content-type': 'application/json' }
      const put = await raw(`/${id}`, { method: 'POST', headers: type, body: '{"name":"y"}' })
      expect([put.status, put.headers.get('allow')]).toEqual([405, 'GET, DELETE'])
      // Some clients of HTTP send an empty object with everything.
      const gone = await raw(`/${id}`, { method: 'DELETE', headers: type, body: '{}' })
      expect(gone.status).toBe(200)
      for (const path of ['/a/b', '/a/files/b/c', '/a/files/b/content/d']) {
        expect((await raw(path)).status).toBe(404)
      }
    })

    it('makes the container of an auto declaration as it is wished, once a conversation', async () => {
      const hi = { role: 'user', content: 'Hi' }
      const expires_after = { anchor: 'last_active_at', minutes: 3 }
      const wished = { type: 'auto', memory_limit: '1g', expires_after }
      calling(stage.upstream, ['x = 41'])
      const first = await ask(wished)
      const id = containerOf(first)
      const made = { memory_limit: '1g', expires_after, network_policy: { type: 'disabled' } }
      expect(await client.containers.retrieve(id)).toMatchObject(made)
      calling(stage.upstream, ['x + 1'])
      const second = await ask(wished, { input: [hi, ...first.output] })
      expect(second.output[0]).toMatchObject({
        container_id: id,
        outputs: [{ type: 'logs', logs: '42\n' }],
      })
      await client.containers.delete(id)
      calling(stage.upstream, ['1'])
      const third = await ask(wished, { input: [hi, ...second.output] })
      expect(containerOf(third)).not.toBe(id)
      expect(await client.containers.retrieve(containerOf(third))).toMatchObject(made)
    })

    it('refuses an auto declaration that it cannot keep, before anything is asked', async () => {
      calling(stage.upstream, [])
      const at = 'tools[0].container'
      const bad: [object, string][] = [
        [{ type: 'other' }, at],
        [{ type: 'auto', memory_limit: '64g' }, `${at}.memory_limit`],
        [{ type: 'auto', memory_limit: '2g' }, `${at}.memory_limit`],
        [{ type: 'auto', memory_limit: 1 }, `${at}.memory_limit`],
        [{ type: 'auto', expires_after: { anchor: 'x' } }, `${at}.expires_after.anchor`],
        [{ type: 'auto', file_ids: ['file-1'] }, `${at}.file_ids`],
        [{ type: 'auto', skills: [{ type: 'skill_reference' }] }, `${at}.skills`],
        [{ type: 'auto', network_policy: { type: 'allowlist' } }, `${at}.network_policy`],
      ]
      for (const [container, param] of bad) {
        const error = await errorOf(ask(container))
        expect(error).toMatchObject({ status: 400, param, type: 'invalid_request_error' })
        expect(error.message).toContain(`'${param}'`)
      }
      expect(stage.upstream.requests.filter(({ path }) => !path.endsWith('/models'))).toEqual([])
      const plain = { type: 'auto', file_ids: [], network_policy: { type: 'disabled' } }
      expect(await ask({ ...plain, memory_limit: null })).toMatchObject({ status: 'completed' })
    })

    it('refuses uploads that are no file, or no file of a container', async () => {
      const { id } = await client.containers.create({ name: 'uploads' })
      const form = (...parts: [string, string | Blob, string?][]) => {
        const body = new FormData()
        for (const [field, value, filename] of parts) {
          if (typeof value === 'string') body.append(field, value)
          else body.append(field, value, filename)
        }
        return { body }
      }
      const blob = new Blob(['x'])
      const type = (text: string) => ({ headers: { 'content-type': text } })
      const bad: [RequestInit, number, string | null][] = [
        [{ body: '{"file_id":"file-1"}', ...type('application/json') }, 400, 'file_id'],
        [{ body: '{}', ...type('application/json') }, 400, 'file'],
        [{ body: '{', ...type('application/json') }, 400, null],
        [{ body: 'x', ...type('text/plain') }, 415, null],
        [{ body: 'x', ...type('multipart/form-data') }, 400, null],
        [{ body: '--b\r\nbroken', ...type('multipart/form-data; boundary=b') }, 400, null],
        [form(['file', 'text']), 400, 'file'],
        [form(['file_id', 'file-1']), 400, 'file_id'],
        [form(['other', blob, 'x']), 400, 'file'],
        [form(['file', blob, 'x'], ['file', blob, 'y']), 400, 'file'],
        ...['../x', '/etc/passwd', 'a/../../x', 'a\\b', 'a//b', '.', 'x'.repeat(256)].map(
          (name): [RequestInit, number, string] => [form(['file', blob, name]), 400, 'file'],
        ),
        [form(['file', blob, 'a\r\nset-cookie: x']), 400, 'file'],
        [form(['file', new Blob([new Uint8Array(16 * mebibyte + 1)]), 'x']), 413, 'file'],
      ]
      for (const [init, status, param] of bad) {
        const answer = await raw(`/${id}/files`, { method: 'POST', ...init })
        const { error } = (await answer.json()) as { error: { param: string | null } }
        expect({ status: answer.status, param: error.param }, JSON.stringify(error)).toEqual({
          status,
          param,
        })
      }
      expect((await client.containers.files.list(id)).data).toEqual([])
      await client.containers.delete(id)
    })

    it('carries every byte, empty files and the largest ones, up to the room there is', async () => {
      const { id } = await client.containers.create({ name: 'bytes' })
      const empty = await put(id, 'empty', '')
      expect((await read(id, empty.id)).bytes).toHaveLength(0)
      const large = Buffer.alloc(16 * mebibyte, 'switchyard\0ÿ')
      const kept = await put(id, 'x.bin', large)
      expect((await read(id, kept.id)).bytes.equals(large)).toBe(true)
      let refused: APIError | undefined
      for (let n = 0; n < 8 && refused === undefined; n++) {
        await put(id, `${n}.bin`, large).catch((error) => {
          refused = error
        })
      }
      expect(refused).toMatchObject({ status: 413, param: 'file' })
      expect(refused?.message).toContain('128 MiB')
      await client.containers.delete(id)
    })

    it('gives names that a header cannot hold', async () => {
      const { id } = await client.containers.create({ name: 'names' })
      calling(stage.upstream, [
        "for n in ['q\"uote.txt', 'new\\r\\nset-cookie: x', 'ü €.html', 'back\\\\slash']: open(n, 'w').write(n)",
      ])
      await ask(id)
      const { data } = await client.containers.files.list(id)
      expect(data).toHaveLength(4)
      for (const { id: file, path } of data) {
        const { response, bytes } = await read(id, file)
        const name = path.slice('/mnt/data/'.length)
        expect(bytes.toString()).toBe(name)
        expect(response.headers.get('set-cookie')).toBeNull()
        const disposition = response.headers.get('content-disposition') ?? ''
        const [, plain, encoded = ''] =
          /^attachment; filename="([\w. -]+)"; filename\*=UTF-8''(\S+)$/.exec(disposition) ?? []
        expect(plain).toBeDefined()
        expect(decodeURIComponent(encoded)).toBe(name)
      }
      await client.containers.delete(id)
    })

    it('ends a container while its code runs; what waited for it hears that it is gone', async () => {
      const { id } = await client.containers.create({ name: 'busy' })
      const { id: file } = await put(id, 'a', 'b')
      calling(stage.upstream, ["print('begun', flush=True)\nwhile True: pass"])
      const answered = ask(id)
      while (stage.upstream.requests.length === 0) await new Promise((done) => setTimeout(done, 5))
      const waiting = read(id, file).then(
        () => undefined,
        (error: unknown) => error,
      )
      await new Promise((done) => setTimeout(done, 50))
      await client.containers.delete(id)
      const [call] = (await answered).output
      expect(call).toMatchObject({ type: 'code_interpreter_call', status: 'failed' })
      // It may have been read before the code began.
      const told = await waiting
      if (told !== undefined) expect(told).toMatchObject({ status: 404 })
      expect((await errorOf(client.containers.retrieve(id))).status).toBe(404)
    })

    it('holds a thousand files', async () => {
      const { id } = await client.containers.create({ name: 'many' })
      calling(stage.upstream, ["for i in range(1000): open(f'{i}.txt', 'w').write(str(i))"])
      const response = await ask(id)
      const [part] = (response.output.at(-1) as ResponseOutputMessage)
        .content as ResponseOutputText[]
      expect(part?.annotations.length).toBe(128)
      let count = 0
      for await (const _ of client.containers.files.list(id, { limit: 100 })) count++
      expect(count).toBe(1000)
      await client.containers.delete(id)
    })
  })
}
