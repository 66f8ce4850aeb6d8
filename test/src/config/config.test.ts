import { describe, expect, it } from 'vitest'
import { ConfigError, parseConfig, secretNames } from '../../../src/config/index.ts'
import { providers } from '../../../src/providers/index.ts'

function refusal(document: unknown): { path: string; message: string } {
  const json = typeof document === 'string' ? document : JSON.stringify(document)
  try {
    parseConfig(json, 'switchyard.json')
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the document was not refused')
}

describe('parseConfig', () => {
  it('reads lists of hosts, of all URLs and of servers of tools', () => {
    const egress = { allowHosts: ['a.example'], mcpHosts: ['127.0.0.1:9000', '*.b.example'] }
    expect(parseConfig(JSON.stringify({ egress }), 'switchyard.json').egress).toEqual(egress)
    const { path } = refusal({ egress: { mcpHosts: ['https://mcp.example.com'] } })
    expect(path).toBe('egress.mcpHosts[0]')
  })

  it('takes origins of web pages, and no URL that only looks like one', () => {
    const cors = { origins: ['https://app.example.com:8443', 'app://notes', '*'] }
    expect(parseConfig(JSON.stringify({ cors }), 'switchyard.json').cors).toEqual(cors)
    expect(parseConfig(undefined, 'switchyard.json').cors).toEqual({ origins: [] })
    for (const origin of [
      'https://app.example.com/',
      'app.example.com',
      'https://*.a.com',
      'null',
      'https://App.example.com',
      'https://app.example.com:443',
    ]) {
      expect(refusal({ cors: { origins: [origin] } }).path).toBe('cors.origins[0]')
    }
  })

  it('gives the built-in providers and the documented defaults without a document', () => {
    const config = parseConfig(undefined, 'none')
    expect([...config.providers.keys()]).toEqual(Object.keys(providers))
    expect(config).toMatchObject({
      policy: 'preferred',
      passThrough: { hf: false },
      nodes: { tokenEnv: 'SWITCHYARD_NODE_TOKEN' },
      limits: { bodyBytes: 10_485_760 },
      reasoningEvents: 'reasoning_text',
    })
    const secrets = secretNames(config)
    expect(secrets).toEqual([...new Set(secrets)])
    expect(secrets).toEqual(
      expect.arrayContaining(['CEREBRAS_API_KEY', 'FIREWORKS_AI_API_KEY', 'HF_TOKEN']),
    )
    expect(secrets.at(-1)).toBe('SWITCHYARD_NODE_TOKEN')
  })

  it('has a page of metrics where it is asked for, with a token that the launcher hands on', () => {
    const pageOf = (document: object) => {
      const config = parseConfig(JSON.stringify(document), 'test')
      return [config.metrics, secretNames(config).at(-1)]
    }
    expect(pageOf({})).toEqual([undefined, 'SWITCHYARD_NODE_TOKEN'])
    const usual = 'SWITCHYARD_METRICS_TOKEN'
    expect(pageOf({ metrics: {} })).toEqual([{ tokenEnv: usual }, usual])
    const own = pageOf({ metrics: { tokenEnv: 'SCRAPER_TOKEN' } })
    expect(own).toEqual([{ tokenEnv: 'SCRAPER_TOKEN' }, 'SCRAPER_TOKEN'])
    expect(() => parseConfig('{"metrics":{"token":"t"}}', 'test')).toThrow('metrics')
  })

  it('merges over a built-in provider and keeps what the document leaves out', () => {
    const config = parseConfig(
      JSON.stringify({
        providers: { groq: { models: { 'meta/llama': 'llama-3' }, timeouts: { idleMs: 5 } } },
      }),
      'x',
    )
    const groq = config.providers.get('groq')
    expect(groq?.baseUrl).toBe('https://api.groq.com/openai/v1')
    expect(groq?.models).toMatchObject({
      'meta/llama': 'llama-3',
      'openai/gpt-oss-20b': 'openai/gpt-oss-20b',
    })
    expect(groq?.timeouts).toMatchObject({
      idleMs: 5,
      firstTokenMs: 60_000,
      retryAfterMs: 10_000,
    })
  })

  it('puts the providers of the document first, in its order, and leaves disabled ones out', () => {
    const config = parseConfig(
      JSON.stringify({
        providers: {
          together: {},
          acme: { baseUrl: 'http://127.0.0.1:9/v1/' },
          groq: { enabled: false },
        },
      }),
      'x',
    )
    const others = Object.keys(providers).filter((name) => !['together', 'groq'].includes(name))
    expect([...config.providers.keys()]).toEqual(['together', 'acme', ...others])
    expect(config.providers.get('acme')).toMatchObject({
      baseUrl: 'http://127.0.0.1:9/v1',
      apiKeyEnv: 'ACME_API_KEY',
      keyOptional: true,
      otherModels: 'pinned',
    })
  })

  it('knows engines by their kind: where they listen, and what to ask them', () => {
    const config = parseConfig(
      JSON.stringify({
        providers: {
          box: { kind: 'ollama' },
          rack: { kind: 'vllm', baseUrl: 'https://rack.example/v1' },
        },
      }),
      'x',
    )
    const box = config.providers.get('box')
    expect(box).toMatchObject({
      baseUrl: 'http://127.0.0.1:11434/v1',
      builtIn: false,
      keyOptional: true,
    })
    expect(box?.adapt({ stream: true, max_completion_tokens: 9 }, 'chat').body).toEqual({
      stream: true,
      max_tokens: 9,
      stream_options: { include_usage: true },
    })
    expect(config.providers.get('rack')?.baseUrl).toBe('https://rack.example/v1')
  })

  it('keeps the place of the model in an address, and no place for it in a host', () => {
    const at = (baseUrl: string) =>
      parseConfig(JSON.stringify({ providers: { acme: { baseUrl } } }), 'x').providers.get('acme')
    expect(at('https://acme.example/m/{model}/v1/')?.baseUrl).toBe(
      'https://acme.example/m/{model}/v1',
    )
    expect(refusal({ providers: { acme: { baseUrl: 'https://{model}.example/v1' } } }).path).toBe(
      'providers.acme.baseUrl',
    )
  })

  it('looks ids up for built-in providers at their own addresses, or for all when told to', () => {
    const mapping = (document: unknown) => parseConfig(JSON.stringify(document), 'x').modelMapping
    const moved = { providers: { groq: { baseUrl: 'https://proxy.example/v1' } } }
    expect(mapping({})?.hubUrl).toBe('https://huggingface.co')
    expect(mapping({})?.providers.has('groq')).toBe(true)
    expect(mapping({})?.providers.has('openai')).toBe(false)
    expect(mapping(moved)?.providers.has('groq')).toBe(false)
    expect(mapping({ ...moved, modelMapping: 'hf' })?.providers.has('groq')).toBe(true)
    expect(mapping({ modelMapping: { hubUrl: 'https://mirror.example/' } })?.hubUrl).toBe(
      'https://mirror.example',
    )
    expect(mapping({ modelMapping: 'off' })).toBeUndefined()
  })

  it('needs the key that a custom provider names', () => {
    const acme = { baseUrl: 'https://acme.example/v1', apiKeyEnv: 'ACME' }
    const config = parseConfig(JSON.stringify({ providers: { acme } }), 'x')
    expect(config.providers.get('acme')?.keyOptional).toBe(false)
  })

  it.each([
    ['an unknown key', { polcy: 'fastest' }, 'polcy'],
    [
      'an unknown key inside',
      { providers: { groq: { baseURL: 'https://x.example' } } },
      'providers.groq.baseURL',
    ],
    ['a wrong type', { limits: { bodyBytes: 'big' } }, 'limits.bodyBytes'],
    ['a wrong element', { routes: { m: ['groq', 7] } }, 'routes.m[1]'],
    ['a policy as a place', { routes: { m: ['groq', 'fastest'] } }, 'routes.m[1]'],
    ['a place twice', { routes: { m: ['groq', 'self', 'groq'] } }, 'routes.m'],
    ['models as a list', { providers: { groq: { models: ['m'] } } }, 'providers.groq.models'],
    ['a missing baseUrl', { providers: { acme: {} } }, 'providers.acme.baseUrl'],
    [
      'a baseUrl that is no URL',
      { providers: { acme: { baseUrl: 'acme' } } },
      'providers.acme.baseUrl',
    ],
    [
      'a scheme',
      { providers: { acme: { baseUrl: 'ftp://acme.example' } } },
      'providers.acme.baseUrl',
    ],
    [
      'http for a built-in key',
      { providers: { groq: { baseUrl: 'http://groq.example/v1' } } },
      'providers.groq.baseUrl',
    ],
    [
      'a password in a URL',
      { providers: { acme: { baseUrl: 'https://a:b@acme.example' } } },
      'providers.acme.baseUrl',
    ],
    [
      'a key in the headers',
      { providers: { groq: { headers: { Authorization: 'x' } } } },
      'providers.groq.headers.Authorization',
    ],
    [
      'a reserved name',
      { providers: { self: { baseUrl: 'https://x.example' } } },
      'providers.self',
    ],
    ['a name of a route', { providers: { v1: { baseUrl: 'https://x.example' } } }, 'providers.v1'],
    [
      'a name in capitals',
      { providers: { Acme: { baseUrl: 'https://x.example' } } },
      'providers.Acme',
    ],
    [
      "the gateway's own secret as a key",
      { providers: { groq: { apiKeyEnv: 'SWITCHYARD_KEYS' } } },
      'providers.groq.apiKeyEnv',
    ],
    [
      'a dialect that does not exist',
      { providers: { groq: { dialects: ['messages'] } } },
      'providers.groq.dialects[0]',
    ],
    ['a word for a flag', { byok: 'yes' }, 'byok'],
    ['an unknown mapping', { modelMapping: 'on' }, 'modelMapping'],
    [
      'a hub in the clear',
      { modelMapping: { hubUrl: 'http://hub.example' } },
      'modelMapping.hubUrl',
    ],
    ['an unknown kind', { providers: { box: { kind: 'tgi' } } }, 'providers.box.kind'],
    [
      'a kind of what is built in',
      { providers: { groq: { kind: 'vllm' } } },
      'providers.groq.kind',
    ],
    ['an array', [], ''],
  ])('refuses %s and names its path', (_, document, path) => {
    const error = refusal(document)
    expect(error.path).toBe(path)
    expect(error.message).toContain('switchyard.json: ')
  })

  it('refuses what is not JSON', () => {
    expect(refusal('{"providers":').message).toContain('switchyard.json: is not valid JSON')
    expect(refusal('').message).toBe('switchyard.json: is empty')
    expect(refusal('{"policy":"fastest","policy":"cheapest"}').message).toContain('a key twice')
  })

  it('reads past the mark that some editors put before the text', () => {
    expect(parseConfig('\ufeff{"policy":"fastest"}', 'x').policy).toBe('fastest')
  })

  it.each([
    [{ polcy: 'fastest' }, "polcy: is not a known key (did you mean 'policy'?)"],
    [{ providers: { groq: { timeouts: { headerMs: 1 } } } }, "(did you mean 'headersMs'?)"],
    [{ tools: { code_interpreter: { memory: 1 } } }, "(did you mean 'memoryMb'?)"],
    [{ modelMapping: { hub: 'x' } }, 'modelMapping: must be'],
    [{ hedge: { patience: 1 } }, 'hedge.patience: is not a known key (known here: afterMs)'],
    [{ providers: { grok: {} } }, "(did you mean the built-in 'groq'?)"],
    [{ limits: { bodyBytes: '10MB' } }, "limits.bodyBytes: expected a number, received '10MB'"],
    [{ policy: 'fast' }, "policy: expected one of 'preferred', 'fastest', 'cheapest'"],
    [{ nodes: { tokenEnv: 'a b' } }, 'nodes.tokenEnv: must be the name of an environment'],
  ])('says what was probably meant: %j', (document, words) => {
    expect(refusal(document).message).toContain(words)
  })

  it('takes no prototype from a document', () => {
    expect(
      refusal('{"providers":{"__proto__":{"baseUrl":"https://x.example"}}}').message,
    ).toBeTruthy()
    expect(refusal('{"__proto__":{"policy":"fastest"}}').message).toBeTruthy()
  })

  it('accepts a stand-in for a built-in provider on this machine', () => {
    const json = JSON.stringify({
      providers: { groq: { baseUrl: 'http://127.0.0.1:1/openai/v1' } },
    })
    expect(parseConfig(json, 'x').providers.get('groq')).toMatchObject({
      baseUrl: 'http://127.0.0.1:1/openai/v1',
      builtIn: true,
      keyOptional: false,
    })
  })
})
