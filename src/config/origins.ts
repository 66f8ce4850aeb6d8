import { z } from 'zod'

/** `cors.origins`: web pages that may call. */
export const originsSchema = z
  .array(
    z
      .string()
      .max(300)
      .regex(
        /^(?:\*|[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*]+)$/,
        'must be an origin, such as "https://app.example.com", or "*"',
      ),
  )
  .max(100)
