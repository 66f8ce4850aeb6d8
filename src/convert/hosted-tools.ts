// Tools that run at the server that a client calls. Where the tool loop can run one (faces/tool-upstream.ts) it is gone before
// a request comes here; what is left is left out and named in the `warning` header: an agent that declares web search beside
// its own functions works on without it.

/** Tool type → what becomes of it. */
export const hostedTools: Readonly<Record<string, 'left out'>> = {
  web_search: 'left out',
  web_search_2025_08_26: 'left out',
  web_search_preview: 'left out',
  web_search_preview_2025_03_11: 'left out',
  file_search: 'left out',
  code_interpreter: 'left out',
  image_generation: 'left out',
  computer: 'left out',
  computer_use_preview: 'left out',
  mcp: 'left out',
  programmatic_tool_calling: 'left out',
}

/** Items that tell of a hosted tool's work: receipts without which a conversation still reads. */
export const hostedItems: ReadonlySet<string> = new Set([
  'web_search_call',
  'file_search_call',
  'code_interpreter_call',
  'image_generation_call',
  'computer_call',
  'computer_call_output',
  'mcp_list_tools',
  'mcp_approval_request',
  'mcp_approval_response',
])
