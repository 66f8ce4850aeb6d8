// When a provider that is out of quota will answer again, from whichever headers it says it with.

/** No wait longer than a day is believed. */
const longest = 86_400

/**
 * Seconds until it is worth asking again: `retry-after-ms`, `retry-after`, else the resets of what is used up in
 * `ratelimit…` (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/) and `x-ratelimit-…`.
 */
export function retryAfter(headers: Headers, now: number): number | undefined {
  const milliseconds = headers.get('retry-after-ms')
  if (milliseconds !== null) return bounded(Number(milliseconds) / 1000)
  const value = headers.get('retry-after')
  if (value !== null) return bounded(readTime(value, now))
  return fromPolicies(headers) ?? fromResets(headers, now)
}

/** `RateLimit: "api";r=0;t=12` and the older `RateLimit: limit=10, remaining=0, reset=12`. */
function fromPolicies(headers: Headers): number | undefined {
  const value = headers.get('ratelimit')
  if (value === null) return undefined
  const waits = value.split(value.includes(';') ? ',' : '\n').map((policy) => {
    const left = /(?:^|[;,\s])(?:r|remaining)=(\d+)/i.exec(policy)?.[1]
    const wait = /(?:^|[;,\s])(?:t|reset)=(\d+)/i.exec(policy)?.[1]
    return left === '0' || left === undefined ? bounded(Number(wait ?? Number.NaN)) : undefined
  })
  return longestOf(waits)
}

/**
 * Providers count requests and tokens, by the minute and the day, each with a reset of its own: those that are used up decide.
 * Where nothing says what is left, the first reset is as good a time as any.
 */
function fromResets(headers: Headers, now: number): number | undefined {
  const usedUp: (number | undefined)[] = []
  const unclear: number[] = []
  headers.forEach((value, name) => {
    if (!/^(x-)?ratelimit-reset/.test(name)) return
    const wait = bounded(readTime(value, now))
    const left = headers.get(name.replace('-reset', '-remaining'))
    if (left !== null && Number(left) <= 0) usedUp.push(wait)
    else if (left === null && wait !== undefined) unclear.push(wait)
  })
  return longestOf(usedUp) ?? (unclear.length > 0 ? Math.min(...unclear) : undefined)
}

function longestOf(waits: readonly (number | undefined)[]): number | undefined {
  const known = waits.filter((wait) => wait !== undefined)
  return known.length > 0 ? Math.max(...known) : undefined
}

/** Seconds (Cerebras), `2m59.5s` (OpenAI, Groq), `12ms`, seconds or milliseconds since the epoch (OpenRouter), or a date. */
function readTime(value: string, now: number): number {
  const text = value.trim()
  const number = text === '' ? Number.NaN : Number(text)
  if (number > 1e12) return (number - now) / 1000
  if (number > 1e9) return number - now / 1000
  if (!Number.isNaN(number)) return number
  const parts = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?$/.exec(text)
  if (!parts || text === '') return (Date.parse(text) - now) / 1000
  const [days, hours, minutes, seconds, ms] = parts.slice(1).map((part) => Number(part ?? 0))
  return (
    (days ?? 0) * 86_400 +
    (hours ?? 0) * 3600 +
    (minutes ?? 0) * 60 +
    (seconds ?? 0) +
    (ms ?? 0) / 1000
  )
}

function bounded(seconds: number): number | undefined {
  return seconds >= 0 && seconds <= longest ? seconds : undefined
}
