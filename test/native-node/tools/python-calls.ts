// Short ways to call code_interpreter in tests.
import type { NodeTool, ToolCall, ToolResult } from '../../../native-node/tools/tool.ts'

export function pythonCalls(tool: NodeTool) {
  const call = (
    given: Pick<ToolCall, 'arguments' | 'session' | 'files'>,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<ToolResult> => tool.call({ tool: 'code_interpreter', action: 'run', ...given }, signal)
  const run = (code: string, session = 's') => call({ arguments: { code }, session })
  return { call, run }
}

/** What the model reads, after whether it is an error. */
export function outcome({ isError, text }: ToolResult): string {
  return `${isError ? 'error' : 'ok'}: ${text}`
}

export function decodeText({ files }: ToolResult, path: string): string | undefined {
  const file = files?.find((each) => each.path === path)
  return file?.data === undefined ? undefined : Buffer.from(file.data, 'base64').toString()
}
