// The tools that run at our nodes, as a model is told of them. gpt-oss was trained on these very words, as the tools
// `python` and `browser` of its system message; every other model gets them as the functions that they describe.
import type { CustomTool } from '../protocol/call-items.ts'

/** Name of the freeform tool behind `code_interpreter`: its input is code. */
export const pythonName = 'python'
/** Name of the namespace behind `web_search`. */
export const browserName = 'browser'
/** The namespace's functions; each is an action of a HostedCall to `web_search`. */
export const browserFunctions = ['search', 'open', 'find'] as const
export type BrowserFunction = (typeof browserFunctions)[number]

const pythonDescription = `Use this tool to execute Python code in your chain of thought. The code will not be shown to the user. This tool should be used for internal reasoning, but not for code that is intended to be visible to the user (e.g. when creating plots, tables, or files).

When you send a message containing Python code to python, it will be executed in a stateful Jupyter notebook environment. python will respond with the output of the execution or time out after 120.0 seconds. The drive at '/mnt/data' can be used to save and persist user files. Internet access for this session is UNKNOWN. Depends on the cluster.`

const browserDescription = `Tool for browsing.
The \`cursor\` appears in brackets before each browsing display: \`[{cursor}]\`.
Cite information from the tool using the following format:
\`【{cursor}†L{line_start}(-L{line_end})?】\`, for example: \`【6†L9-L11】\` or \`【8†L3】\`.
Do not quote more than 10 words directly from the tool output.
sources=web (default: web)`

const openDescription = `Opens the link \`id\` from the page indicated by \`cursor\` starting at line number \`loc\`, showing \`num_lines\` lines.
Valid link ids are displayed with the formatting: \`【{id}†.*】\`.
If \`cursor\` is not provided, the most recent page is implied.
If \`id\` is a string, it is treated as a fully qualified URL associated with \`source\`.
If \`loc\` is not provided, the viewport will be positioned at the beginning of the document or centered on the most relevant passage, if available.
Use this function without \`id\` to scroll to a new location of an opened page.`

/** Where a parameter's default is `last`, -1 means the page that is shown, or what the tool thinks best. */
const last = { type: 'number', default: -1 }
const string = { type: 'string' }

export interface BrowserToolFunction {
  type: 'function'
  name: BrowserFunction
  description: string
  parameters: Record<string, unknown>
  strict: false
}

/** The order of functions and of parameters is the trained one. */
export const browserToolFunctions: readonly BrowserToolFunction[] = [
  {
    type: 'function',
    name: 'search',
    description: 'Searches for information related to `query` and displays `topn` results.',
    parameters: {
      type: 'object',
      properties: { query: string, topn: { type: 'number', default: 10 }, source: string },
      required: ['query'],
    },
    strict: false,
  },
  {
    type: 'function',
    name: 'open',
    description: openDescription,
    parameters: {
      type: 'object',
      properties: {
        id: { type: ['number', 'string'], default: -1 },
        cursor: last,
        loc: last,
        num_lines: last,
        view_source: { type: 'boolean', default: false },
        source: string,
      },
    },
    strict: false,
  },
  {
    type: 'function',
    name: 'find',
    description:
      'Finds exact matches of `pattern` in the current page, or the page given by `cursor`.',
    parameters: {
      type: 'object',
      properties: { pattern: string, cursor: last },
      required: ['pattern'],
    },
    strict: false,
  },
]

export interface BrowserTool {
  type: 'namespace'
  name: string
  description: string
  tools: BrowserToolFunction[]
}

/** The freeform tool that stands for `code_interpreter`: a call's input is code, which goes to the action `run`. */
export function pythonTool(): CustomTool {
  return { type: 'custom', name: pythonName, description: pythonDescription }
}

/** The namespace that stands for `web_search`: a call's function is the action, its arguments go along as they are. */
export function browserTool(): BrowserTool {
  return {
    type: 'namespace',
    name: browserName,
    description: browserDescription,
    tools: [...browserToolFunctions],
  }
}
