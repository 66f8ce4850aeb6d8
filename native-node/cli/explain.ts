// `switchyard explain`: who would answer a model id, in which order, and why the others would not.
import { parseConfig } from '../../src/config/index.ts'
import { type Explanation, explainInFull } from '../../src/routing/explain.ts'
import { wantedByName, wantedNames } from '../../src/routing/wanted.ts'
import type { World } from '../../src/routing/world.ts'
import { apiRoot } from './address.ts'
import { type Command, CommandError, print } from './command.ts'
import { readConfig } from './gateway-process.ts'

type Told = Omit<Explanation, 'error'> & { error: { message: string; code: string | null } | null }

export const explain: Command = {
  name: 'explain',
  summary:
    'Shows which providers and nodes would answer a model id, in which order, and why each other one would not.',
  usage: 'MODEL [--tools] [--images] [--json-schema] [--base URL] [--json]',
  details:
    'Without --base: from switchyard.json (or SWITCHYARD_CONFIG_FILE) and the keys in this environment; no node is known.\n' +
    'With --base (e.g. http://127.0.0.1:8787): asks that gateway, its connected nodes included.',
  options: {
    base: { type: 'string', value: 'URL', help: 'a running gateway to ask' },
    'key-env': {
      type: 'string',
      value: 'NAME',
      help: "environment variable with that gateway's API key",
      default: 'SWITCHYARD_API_KEY',
    },
    tools: { type: 'boolean', help: 'for a request with functions' },
    images: { type: 'boolean', help: 'for a request with an image' },
    'json-schema': { type: 'boolean', help: 'for a request whose answer follows a JSON schema' },
    json: { type: 'boolean', help: 'print the decision as JSON' },
  },
  positionals: { min: 1, max: 1 },
  async run(invocation) {
    const model = invocation.positionals[0] ?? ''
    const base = invocation.text('base')
    const needs = wantedNames.filter((name) => invocation.flag(name))
    const key = process.env[invocation.text('key-env') ?? 'SWITCHYARD_API_KEY']
    const told = base === undefined ? locally(model, needs) : await ask(base, model, needs, key)
    await print(invocation.flag('json') ? `${JSON.stringify(told, null, 2)}\n` : describe(told))
    return told.error ? 1 : 0
  },
}

type Needs = readonly (typeof wantedNames)[number][]

function locally(model: string, needs: Needs): Told {
  const document = readConfig()
  const config = parseConfig(document?.json, document?.path ?? 'built-in configuration')
  const world: World = {
    config,
    nodes: [],
    obstacle: (provider) =>
      provider.keyOptional || process.env[provider.apiKeyEnv]
        ? undefined
        : `has no key: ${provider.apiKeyEnv} is not set`,
    now: Date.now(),
  }
  const wanted = wantedByName((name) => needs.includes(name))
  const { error, ...decision } = explainInFull(model, world, wanted)
  return { ...decision, error: error?.toBody().error ?? null }
}

async function ask(
  base: string,
  model: string,
  needs: Needs,
  key: string | undefined,
): Promise<Told> {
  const root = apiRoot(base, '--base')
  const query = new URLSearchParams([['model', model], ...needs.map((name) => [name, '1'])])
  const response = await fetch(`${root}/v1/explain?${query}`, {
    headers: key ? { authorization: `Bearer ${key}` } : {},
  }).catch(() => {
    throw new CommandError(`${base} cannot be reached.`)
  })
  if (!response.ok)
    throw new CommandError(`${base} answered ${response.status}: ${await response.text()}`)
  return (await response.json()) as Told
}

function describe(told: Told): string {
  const lines = [
    `${told.model}${told.public_id && told.public_id !== told.model ? ` → ${told.public_id}` : ''}  (policy ${told.policy})`,
  ]
  const width = Math.max(0, ...told.considered.map(({ name }) => name.length))
  for (const [place, { name, kind, candidate, model, reason }] of told.considered.entries()) {
    const rank = candidate ? String(told.candidates.indexOf(name) + 1 || place + 1) : '-'
    lines.push(
      `  ${rank.padStart(2)}  ${name.padEnd(width)}  ${kind.padEnd(8)}  ${candidate ? `as ${model}; ` : ''}${reason}`,
    )
  }
  if (told.error) lines.push(`error: ${told.error.message}`)
  return `${lines.join('\n')}\n`
}
