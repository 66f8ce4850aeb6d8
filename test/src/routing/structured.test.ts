import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../../src/config/index.ts'
import { capabilitiesOf } from '../../../src/providers/capabilities.ts'
import { planRequest } from '../../../src/routing/plan.ts'
import { guaranteeOf } from '../../../src/routing/structured.ts'
import type { NodeModelInfo, World } from '../../../src/routing/world.ts'

const gptOss = 'openai/gpt-oss-120b'
const format = { type: 'json_schema' as const, name: 's', schema: {} }

function world(more: Partial<World> = {}): World {
  const capabilities = { '*': { structuredOutput: 'guaranteed', strictArguments: true } }
  const own = { baseUrl: 'http://127.0.0.1:1/v1', models: '*', capabilities }
  return {
    config: parseConfig(JSON.stringify({ providers: { own } }), 'test'),
    obstacle: () => undefined,
    nodes: [],
    now: 0,
    ...more,
  }
}

function provider(name: string) {
  const found = world().config.providers.get(name)
  if (found === undefined) throw new Error(`there is a provider ${name}`)
  return found
}

const serving = (name: string, more: Partial<NodeModelInfo>) => ({
  name,
  models: [{ id: gptOss, dialects: ['responses'], ...more }],
})

function structuredAt(model: string, within: World) {
  const request = { model, input: 'hi', text: { format } }
  const [first] = planRequest({ model, request }, within)
  return first?.structured
}

describe('what a place makes of a schema', () => {
  it.each([
    ['openai', 'gpt-5', 'guaranteed', 'guaranteed'],
    ['groq', gptOss, 'guaranteed', 'best_effort'],
    ['groq', 'moonshotai/kimi-k2-instruct', 'best_effort', 'best_effort'],
    ['cerebras', gptOss, 'guaranteed', 'best_effort'],
    ['zai-org', 'zai-org/GLM-5.2', 'none', 'best_effort'],
    ['together', gptOss, 'best_effort', 'best_effort'],
    ['own', 'any/model', 'guaranteed', 'guaranteed'],
  ])('%s, %s', (name, model, schema, calls) => {
    expect(guaranteeOf(provider(name), model, {})).toMatchObject({ schema, calls })
  })

  it('the hub is believed when it says no, and not when it says yes', () => {
    const heard = (structuredOutput: boolean) => ({
      heard: () => new Map([['together', { structuredOutput }]]),
    })
    expect(guaranteeOf(provider('together'), 'a/b', heard(false)).schema).toBe('none')
    expect(guaranteeOf(provider('together'), 'a/b', heard(true)).schema).toBe('best_effort')
  })

  it('is told to who sends, and only where a request asks for a form', () => {
    expect(structuredAt(`${gptOss}:groq`, world())).toMatchObject({ schema: 'guaranteed' })
    const request = { model: gptOss, input: 'hi' }
    const [plain] = planRequest({ model: `${gptOss}:groq`, request }, world())
    expect(plain?.structured).toBeUndefined()
  })

  it('own nodes check for themselves where all that may answer do', () => {
    const checking = serving('one', { checks_output: true })
    expect(structuredAt(gptOss, world({ nodes: [checking] }))).toMatchObject({ checksItself: true })
    const mixed = world({ nodes: [checking, serving('two', {})] })
    expect(structuredAt(gptOss, mixed)).toMatchObject({ schema: 'best_effort' })
    expect(structuredAt(gptOss, mixed)?.checksItself).toBeUndefined()
    const blind = world({ nodes: [serving('one', { supports_structured_outputs: false })] })
    expect(structuredAt(`${gptOss}:one`, blind)).toMatchObject({ schema: 'none' })
  })

  it('knows of json_object where there is no json_schema', () => {
    expect(capabilitiesOf(provider('zai-org'), 'x')).toMatchObject({ jsonObject: true })
  })
})
