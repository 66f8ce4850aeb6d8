// What HTTP hosts do for Anthropic's clients beside their requests: know their paths, and where they put their key.

/** `/v1/messages`, with a place before it or not, and what is below it. */
export function isMessagesPath(path: string): boolean {
  return /^(?:\/[^/]+)?\/v1\/messages(?:\/|$)/.test(path)
}

/** The key in `x-api-key`, where the request is one of Anthropic's API; undefined where there is none. */
export function messagesKey(path: string, headers: Headers): string | undefined {
  if (!isMessagesPath(path) && !headers.has('anthropic-version')) return undefined
  const key = headers.get('x-api-key') ?? ''
  return /^\S+$/.test(key) ? key : undefined
}
