// `bin/switchyard`: finds the command and runs it. A command's module is loaded only when it is called.
import { ConfigError } from '../../src/config/config-error.ts'
import { version } from '../../src/version.ts'
import {
  type Command,
  CommandError,
  helpOf,
  note,
  parseInvocation,
  print,
  UsageError,
} from './command.ts'
import { heedSignals } from './stop-signal.ts'

const commands: Record<string, { summary: string; load: () => Promise<Command> }> = {
  up: {
    summary: 'gateway and a node with the demo model on this machine',
    load: async () => (await import('./up.ts')).up,
  },
  serve: {
    summary: "a model's OpenAI API without a gateway",
    load: async () => (await import('./serve.ts')).serve,
  },
  node: {
    summary: 'join a gateway with a model of this machine',
    load: async () => (await import('./node.ts')).node,
  },
  tools: {
    summary: 'the hosted tools of this machine, also as an MCP server',
    load: async () => (await import('./tools.ts')).tools,
  },
  chat: {
    summary: 'chat in the terminal with any OpenAI-compatible server',
    load: async () => (await import('./chat.ts')).chat,
  },
  bench: {
    summary: 'measure the engine on this machine',
    load: async () => (await import('./bench.ts')).bench,
  },
  explain: {
    summary: 'show who would answer a model id, and why',
    load: async () => (await import('./explain.ts')).explain,
  },
  logits: {
    summary: "a model's logits for token ids, as .npy",
    load: async () => (await import('./logits.ts')).logits,
  },
  tokenize: {
    summary: 'text to token ids and back',
    load: async () => (await import('./tokenize.ts')).tokenize,
  },
  render: {
    summary: 'a conversation as a harmony prompt',
    load: async () => (await import('./harmony.ts')).render,
  },
  parse: {
    summary: 'generated token ids as harmony messages',
    load: async () => (await import('./harmony.ts')).parse,
  },
  synth: {
    summary: 'write a random checkpoint of a given shape',
    load: async () => (await import('./synth.ts')).synth,
  },
}

const overview = `Usage: switchyard COMMAND [options]

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`)
  .join('\n')}

switchyard COMMAND --help tells more; switchyard --version. Exit codes: 0 done, 1 failed, 2 wrong usage.
`

async function main(words: string[]): Promise<number> {
  const [name, ...rest] = words
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    await print(overview)
    return name === undefined ? 2 : 0
  }
  if (name === '--version' || name === '-v' || name === 'version') {
    await print(`switchyard ${version}\n`)
    return 0
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!entry) {
    note(`switchyard: unknown command '${name}'.\n\n${overview}`)
    return 2
  }
  const command = await entry.load()
  try {
    const invocation = parseInvocation(command, rest)
    if (invocation === 'help') {
      await print(helpOf(command))
      return 0
    }
    return await command.run(invocation)
  } catch (error) {
    if (error instanceof UsageError) {
      note(
        `switchyard ${name}: ${error.message}\nUsage: switchyard ${name} ${command.usage}\nTry: switchyard ${name} --help`,
      )
      return 2
    }
    note(`switchyard ${name}: ${describe(error)}`)
    return 1
  }
}

/** A message for people; a stack only for what nobody foresaw. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof CommandError || error instanceof ConfigError || 'code' in error) {
    return error.message
  }
  return process.env.SWITCHYARD_DEBUG
    ? (error.stack ?? error.message)
    : `${error.message} (SWITCHYARD_DEBUG=1 shows where)`
}

// A reader that has seen enough (`| head`) is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? 0 : 1),
)
// A log that nobody reads any more (a closed terminal, an npm that was killed) must not keep us from ending in order.
process.stderr.on('error', () => {})
heedSignals()

// Not by its own end: where Node waits for handles that are left (of workerd's pipes, say), it has been seen to spin for ever.
// Results are written by now (`print`).
process.exit(await main(process.argv.slice(2)))
