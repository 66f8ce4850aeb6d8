// Keeps a gateway running: one whose workerd dies is started again, on the same address and with the same state.
import { note } from './command.ts'
import { type Gateway, type GatewayOptions, startGateway } from './gateway-process.ts'

export interface KeptGateway {
  /** Rejects where it could not be started again; else it never settles. */
  failed: Promise<never>
  stop(): Promise<void>
}

/** Resolves when the address is served for the first time. */
export async function keepGateway(options: GatewayOptions): Promise<KeptGateway> {
  let isStopped = false
  let current: Promise<Gateway> = startGateway(options)
  await current
  const failed = new Promise<never>((_, reject) => {
    const keep = async () => {
      while (!isStopped) {
        const started = Date.now()
        const gateway = await current
        await gateway.ended
        if (isStopped) return
        note('switchyard: the gateway ended; starting it again')
        await gateway.stop()
        // At once after a long life; after a short one it is likely to die again.
        await new Promise((done) => setTimeout(done, Date.now() - started > 10_000 ? 0 : 1500))
        if (!isStopped) current = startGateway(options)
      }
    }
    keep().catch(reject)
  })
  // Its failure may come before anybody waits for it.
  failed.catch(() => {})
  return {
    failed,
    async stop() {
      isStopped = true
      const gateway = await current.catch(() => undefined)
      await gateway?.stop()
    },
  }
}
