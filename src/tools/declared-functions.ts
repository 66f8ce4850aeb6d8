// The functions of a request, as a model can tell them apart: by their names.
import type { FunctionTool, ResponsesRequest } from '../protocol/responses.ts'

/** With their place in `tools`. Of those with one name the first counts. */
export function declaredFunctions(
  tools: ResponsesRequest['tools'],
): { tool: FunctionTool; index: number }[] {
  const first = new Map<string, { tool: FunctionTool; index: number }>()
  for (const [index, tool] of (tools ?? []).entries()) {
    if (tool.type === 'function' && !first.has(tool.name)) first.set(tool.name, { tool, index })
  }
  return [...first.values()]
}
