// Writes docs/fields.md from the tables that the converters follow: `npm run docs:fields`.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { hostedTools } from '../src/convert/hosted-tools.ts'
import { chatFields, type FieldRule, responsesFields } from '../src/protocol/fields.ts'
import { includes } from '../src/protocol/includes.ts'

export const fieldsPath = fileURLToPath(new URL('../docs/fields.md', import.meta.url))

const head = `# What becomes of every request field

<!-- Made by \`npm run docs:fields\` from src/protocol/fields.ts, includes.ts and src/convert/hosted-tools.ts. -->

Nothing is dropped without a word: a field is done here, sent on, or refused with 400 and its name. What a place cannot take
is left out and named in the answer's \`warning\` header. A field that is not listed goes up as it came; the native engine does
nothing with it, and \`warning\` says so. A field of the other API (\`response_format\` in Responses, \`instructions\` in Chat) is
refused with the word that this one has for it.

- **here**: done by Switchyard, not sent
- **passed**: sent under its own name
- **mapped**: sent in the other dialect's words
- **left out**: not sent; \`warning\` names it when it asks for something
- **refused**: 400 \`unsupported_parameter\`; another candidate that can take it is asked first

The columns are who answers: a provider that speaks Chat Completions, one that speaks Responses, or the engine of one of your
own nodes. What single providers refuse beyond that is in their own files (src/providers).`

const tools = `## Tools

Models behind Chat Completions, and gpt-oss on a node, know functions only. Tools that run at the client go up as functions
and their calls come back as the client's own items and events:

| tool | to the model | back to the client |
|---|---|---|
| \`function\` | as it is | \`function_call\` |
| \`custom\` | a function with one string; a grammar is told in words, nothing holds the model to it | \`custom_tool_call\`, its text streamed |
| \`namespace\` | its tools as \`namespace__tool\`, within 64 characters, no two alike | the tool's own name with \`namespace\` |
| \`local_shell\`, \`shell\` (local), \`apply_patch\` | a function with the fields of its call | \`local_shell_call\`, \`shell_call\`, \`apply_patch_call\` |
| \`tool_search\` with \`execution: "client"\` | a function; \`defer_loading\` tools wait until a search has found them | \`tool_search_call\` |
| \`tool_search\` at the server | left out, as there is nothing to search: deferred tools are offered at once | |

To a Chat client all this holds for its \`custom\` tools. A provider that speaks Responses gets every tool as it is.

\`mcp\`, \`web_search\` (with its dated names) and \`code_interpreter\` run here where a server or a node can be asked
([tools.md](tools.md)). What cannot run is left out and named in \`warning\`: HOSTED. So are their items in a conversation, but
for \`mcp_call\`, which is told as a call and its output.

\`allowed_tools\` (and \`tool_choice: "none"\`) is enforced whatever the model does: a call outside it ends the answer with
\`tool_choice_not_met\`. Calls beyond \`max_tool_calls\`, or beside another one where \`parallel_tool_calls\` is false, are not
handed on.

A call of a shell or patch tool whose arguments say nothing that could be run ends the answer with
\`structured_output_invalid\`.`

const reasoning = `## Reasoning

Reasoning comes as \`response.reasoning_text.*\` events and \`content\` of the item. The config's \`reasoningEvents\` or the request
header \`x-switchyard-reasoning-events\` chooses another family:

| value | events | in the item |
|---|---|---|
| \`reasoning_text\` | OpenAI's raw reasoning | \`content\` |
| \`reasoning\` | Open Responses' \`response.reasoning.*\` | \`content\` |
| \`summary\` | \`response.reasoning_summary_*\` | \`summary\` |

\`include: ["reasoning.encrypted_content"]\` seals it as well (AES-256-GCM, bound to the tenant), so that a client can send it
back without reading it. What comes back is opened for the model; a text that was changed, or belongs to another tenant, is
refused with \`invalid_encrypted_content\` and its place. Reasoning that somebody else encrypted goes on to providers that speak
Responses; elsewhere it is refused, unless its plain text stands beside it.

The key comes from the secret \`SWITCHYARD_SEAL_KEY\`; a Worker without it uses \`SWITCHYARD_KEYS\`, \`switchyard up\` and
\`switchyard serve\` make one and keep it in \`.switchyard/seal-key\`. A new key makes older texts unreadable.`

/** The whole document. */
export function fieldsDocument(): string {
  const hosted = Object.keys(hostedTools)
    .filter((type) => !/^(?:mcp|code_interpreter|web_search.*)$/.test(type))
    .map((type) => `\`${type}\``)
  return [
    head,
    `## POST /v1/responses\n\n${table(responsesFields)}`,
    `### include\n\n${includeTable()}`,
    `## POST /v1/chat/completions\n\n${table(chatFields)}`,
    tools.replace('HOSTED', hosted.join(', ')),
    `${reasoning}\n`,
  ].join('\n\n')
}

function table(rules: Readonly<Record<string, FieldRule>>): string {
  const rows = Object.entries(rules).map(
    ([name, { chat, responses, engine, note = '' }]) =>
      `| \`${name}\` | ${chat} | ${responses} | ${engine} | ${note} |`,
  )
  return [
    '| field | Chat provider | Responses provider | own node | |',
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n')
}

function includeTable(): string {
  const rows = Object.entries(includes).map(([value, what]) => `| \`${value}\` | ${what} |`)
  return ['| value | what is done |', '|---|---|', ...rows].join('\n')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(fieldsPath, fieldsDocument())
