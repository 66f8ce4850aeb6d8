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
      )
      // As browsers send it; written otherwise it would be no page's.
      .refine((origin) => origin === origin.toLowerCase(), 'must be in lower case')
      .refine(
        (origin) => !/^(?:http:.*:80|https:.*:443)$/.test(origin),
        'must not name the port that its scheme has anyway',
      ),
  )
  .max(100)
