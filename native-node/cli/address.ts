// Addresses on the command line: what is dialled, and what is listened on.
import { createServer } from 'node:net'
import { CommandError, UsageError } from './command.ts'

/** The base of an API, without a slash or `/v1` at its end: people copy both forms. Throws UsageError. */
export function apiRoot(given: string, option: string): string {
  if (!/^(https?|wss?):\/\/./.test(given) || !URL.canParse(given))
    throw new UsageError(`${option} '${given}' is not an http or https URL.`)
  return given.replace(/\/+$/, '').replace(/\/v1$/, '')
}

/** Rejects with CommandError where `host`:`port` cannot be listened on; to be asked before anything slow is done. */
export function assertFree(host: string, port: number, advice: string): Promise<void> {
  return new Promise((done, reject) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) =>
      reject(new CommandError(`${host}:${port} ${whyNot(error)}. ${remedy(error) ?? advice}`)),
    )
    probe.listen({ host, port }, () => probe.close(() => done()))
  })
}

/** Where another port would not help. */
function remedy({ code }: NodeJS.ErrnoException): string | undefined {
  if (code === undefined || !['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN', 'EINVAL'].includes(code))
    return undefined
  return 'Listen on an address of this machine: 127.0.0.1, or 0.0.0.0 for all of them.'
}

function whyNot({ code }: NodeJS.ErrnoException): string {
  if (code === 'EADDRINUSE') return 'is already in use'
  if (code === 'EACCES') return 'needs more rights than this process has (EACCES)'
  if (code === 'EADDRNOTAVAIL') return 'is no address of this machine (EADDRNOTAVAIL)'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `has no such host (${code})`
  return `cannot be used (${code})`
}
