// The tables of docs/providers.md, from the index and the fixtures' own word on where they are from.
import { engines } from '../../src/providers/engines.ts'
import { providers } from '../../src/providers/index.ts'
import type { Provider } from '../../src/providers/provider.ts'
import { type Manifest, type Origin, readManifest } from './fixtures.ts'

const groups: readonly [name: string, pattern: RegExp][] = [
  ['streams', /^(text|tools?|responses)\.sse$/],
  ['answers', /\.json$/],
  ['errors', /^errors\.json$/],
  ['errors in streams', /^mid-stream/],
]
const weakest: readonly Origin[] = ['assumed', 'documented', 'recorded']

/** Both tables. */
export function providersTable(): string {
  const builtIns: Provider[] = Object.values(providers)
  const first = builtIns.map((provider) => [
    `[${provider.name}](${provider.docs})`,
    `\`${provider.baseUrl}\``,
    `\`${provider.apiKeyEnv}\``,
    provider.dialects.join(', '),
    Object.keys(provider.models).length === 0
      ? provider.onHub
        ? 'by the hub'
        : 'as they are'
      : Object.keys(provider.models)
          .map((id) => `\`${id}\``)
          .join(' '),
    ...shapes(readManifest(provider.name)),
  ])
  const second = Object.entries(engines).map(([kind, { docs, baseUrl }]) => [
    `[${kind}](${docs})`,
    `\`${baseUrl}\``,
    ...shapes(readManifest(kind)),
  ])
  const shapeHeads = ['wire shapes in the tests', 'called live']
  return [
    ...table(['provider', 'address', 'key', 'API', 'built-in models', ...shapeHeads], first),
    '',
    ...table(['`kind`', 'address unless told otherwise', ...shapeHeads], second),
  ].join('\n')
}

function table(heads: string[], rows: string[][]): string[] {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)]
}

/** Each group is as good as its weakest file. */
function shapes({ sources }: Manifest): [string, string] {
  const found = new Map<Origin, string[]>()
  for (const [group, pattern] of groups) {
    const other = group === 'answers' ? /^errors/ : /^$/
    const origins = sources
      .filter(({ files }) => files.some((file) => pattern.test(file) && !other.test(file)))
      .map(({ origin }) => origin)
    const origin = weakest.find((each) => origins.includes(each))
    if (origin) found.set(origin, [...(found.get(origin) ?? []), group])
  }
  const told = weakest
    .toReversed()
    .filter((origin) => found.has(origin))
    .map((origin) => `${origin}: ${found.get(origin)?.join(', ')}`)
  const live = sources.some(({ origin }) => origin === 'recorded')
  return [told.join('; '), live ? 'yes' : 'never']
}
