// Which hosted tools a command offers: the words of the command line over the configuration document's `tools`.
import { type Config, parseConfig } from '../../src/config/index.ts'
import {
  searchBackends,
  type ToolsDocument,
  type WebSearchDocument,
} from '../../src/config/tools-schema.ts'
import type { HostedToolName } from '../../src/tools/hosted.ts'
import { hostedToolNames, isHostedTool } from '../../src/tools/hosted-wire.ts'
import type { ToolHost } from '../tools/host.ts'
import { logError } from './backend.ts'
import { CommandError, type Invocation, type Option, UsageError } from './command.ts'
import { readConfig } from './gateway-process.ts'

export const toolOptions = {
  tools: {
    type: 'string',
    value: 'LIST',
    help: `hosted tools to run here: ${hostedToolNames.join(', ')}`,
    default: 'what `tools` in switchyard.json says',
  },
  'no-tools': { type: 'boolean', help: 'run no hosted tools' },
} as const satisfies Record<string, Option>

/** What the command line and the document say; nothing is started. */
export interface ChosenTools {
  names: readonly HostedToolName[]
  tools: ToolsDocument
  config: Config
}

/**
 * The tools that a command offers. `always`: those that need no word of anybody, unless the document turns them off.
 * Throws UsageError for a name that nobody knows, and for a tool that is not configured; CommandError for a key that is
 * not set.
 */
export function chooseTools(
  invocation: Invocation,
  always: readonly HostedToolName[] = [],
): ChosenTools {
  const document = readConfig()
  const config = parseConfig(document?.json, document?.path ?? 'built-in configuration')
  const { tools } = config
  const names = namesOf(invocation, tools, always)
  // Now, and not at the first search of a model.
  if (names.includes('web_search') && tools.web_search) searchKey(tools.web_search)
  return { names, tools, config }
}

function namesOf(
  invocation: Invocation,
  tools: ToolsDocument,
  always: readonly HostedToolName[],
): HostedToolName[] {
  const given = invocation.text('tools')
  if (invocation.flag('no-tools')) {
    if (given !== undefined) throw new UsageError('Give either --tools or --no-tools.')
    return []
  }
  if (given !== undefined) return [...new Set(given.split(',').map((name) => named(name, tools)))]
  return hostedToolNames.filter((name) => tools[name] ?? always.includes(name))
}

function named(word: string, tools: ToolsDocument): HostedToolName {
  const name = word.trim()
  if (!isHostedTool(name)) {
    throw new UsageError(`--tools: '${name}' is none of ${hostedToolNames.join(', ')}.`)
  }
  if (name === 'web_search' && tools.web_search === undefined) {
    throw new UsageError(
      '--tools: web_search needs a search engine: set tools.web_search in switchyard.json.',
    )
  }
  return name
}

/** How much later the host ends a call than the tool itself should have. */
const hostPatienceMs = 5000

/** The host of the chosen tools; undefined where there are none. What a tool needs is loaded at its first call. */
export async function openTools({
  names,
  tools,
  config,
}: ChosenTools): Promise<ToolHost | undefined> {
  if (names.length === 0) return undefined
  const { createToolHost } = await import('../tools/host.ts')
  const callMs = (tools.callSeconds ?? 120) * 1000
  const opened = names.map((name) =>
    name === 'code_interpreter' ? openPython(tools, callMs) : openBrowser(tools, config),
  )
  return createToolHost({
    tools: await Promise.all(opened),
    callMs: callMs + hostPatienceMs,
    ...(tools.parallelCalls === undefined ? {} : { parallelCalls: tools.parallelCalls }),
    onError: logError,
  })
}

async function openPython({ code_interpreter: given }: ToolsDocument, timeoutMs: number) {
  const { createPythonTool } = await import('../tools/python/index.ts')
  const { maxSessions, memoryMb } = typeof given === 'object' ? given : {}
  return createPythonTool({
    timeoutMs,
    ...(maxSessions === undefined ? {} : { maxSessions }),
    ...(memoryMb === undefined ? {} : { memoryMiB: memoryMb }),
  })
}

async function openBrowser({ web_search: given }: ToolsDocument, { egress }: Config) {
  if (given === undefined) throw new CommandError('web_search has no search engine.')
  const { createBrowserTool } = await import('../tools/browser/index.ts')
  const { backend, url } = given
  return createBrowserTool({ backend, url, key: searchKey(given), egress })
}

/** The key of a search engine; throws CommandError where it is needed and not set. */
export function searchKey({ backend, keyEnv }: WebSearchDocument): string | undefined {
  const name = keyEnv ?? searchBackends[backend]
  if (name === undefined) return undefined
  const key = process.env[name]
  if (key) return key
  throw new CommandError(`tools.web_search: ${name} is not set, and ${backend} needs a key.`)
}
