// Remote MCP for one caller of the gateway. A Worker cannot look behind a name: only servers that the config lists are asked.
import { type Seal, sealFor, sealKey } from '../src/seal.ts'
import { Approvals } from '../src/tools/mcp/approvals.ts'
import { MemoryClaims } from '../src/tools/mcp/claims.ts'
import type { McpTools } from '../src/tools/mcp/tools.ts'
import type { Caller } from './caller.ts'
import { remoteState } from './response-store.ts'
import { runtimeOf } from './runtime.ts'
import { sealOf } from './seal.ts'

const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes))
const now = () => Date.now()

/** Of a gateway without a response store: each isolate keeps its own. */
const isolateClaims = new MemoryClaims({ now })
/** Made by the first use: nothing random may be asked for while the Worker starts. */
let isolateKey: Promise<CryptoKey> | undefined

/** Servers are asked from the Worker itself; approvals are the tenant's. */
export function mcpTools(caller: Caller): McpTools {
  const { tenant } = caller.identity
  const { egress } = runtimeOf(caller.env).config
  return {
    host: { fetch: (url, init) => fetch(url, init), egress, use: 'fetch' },
    approvals: new Approvals({
      seal: sealOf(caller.env, tenant) ?? isolateSeal(tenant),
      claims: remoteState(caller) ?? isolateClaims,
      now,
      random,
    }),
  }
}

/** Without a secret of the deployment's, what one isolate asks for is approved in this isolate alone. */
function isolateSeal(tenant: string): Seal {
  isolateKey ??= sealKey(crypto.randomUUID())
  return sealFor(tenant, isolateKey, random)
}
