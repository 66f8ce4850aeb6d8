// Remote MCP for the faces of this process: servers are asked from here, to addresses that were checked.
import { type EgressPolicy, mcpPolicy } from '../../src/egress/egress.ts'
import { type Seal, sealFor, sealKey } from '../../src/seal.ts'
import { Approvals } from '../../src/tools/mcp/approvals.ts'
import { type Claims, MemoryClaims } from '../../src/tools/mcp/claims.ts'
import { McpFault } from '../../src/tools/mcp/fault.ts'
import type { McpTools } from '../../src/tools/mcp/tools.ts'
import { pinnedFetch } from './pinned-fetch.ts'
import { type Resolve, UrlRefused } from './pinned-get.ts'

export interface McpToolsOptions {
  egress?: EgressPolicy | undefined
  /** Without it approvals count as long as this process lives. */
  seal?: Seal | undefined
  /** Where a use of an approval is written down; without it, in this process alone. */
  claims?: Claims | undefined
  now?: (() => number) | undefined
  resolve?: Resolve | undefined
}

/** Made once a process: it keeps connections and what was used. */
export function mcpTools(options: McpToolsOptions = {}): McpTools {
  const { egress, resolve, now = () => Date.now() } = options
  const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes))
  const seal = options.seal ?? sealFor('self', sealKey(crypto.randomUUID()), random)
  const claims = options.claims ?? new MemoryClaims({ now })
  return {
    host: {
      fetch: guarded(pinnedFetch({ policy: mcpPolicy(egress), resolve })),
      egress,
      use: 'resolve',
    },
    approvals: new Approvals({ seal, claims, now, random }),
  }
}

/** What the address behind a name is refused for is told as what the name itself would be. */
function guarded(fetch: McpTools['host']['fetch']): McpTools['host']['fetch'] {
  return async (url, init) => {
    try {
      return await fetch(url, init)
    } catch (error) {
      if (!(error instanceof UrlRefused)) throw error
      throw new McpFault('http_error', 403, `The server's URL is refused: ${error.message}.`)
    }
  }
}
