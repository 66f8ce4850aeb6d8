import { defineProvider } from './provider.ts'

/** Model ids are the hub's. 429 is also said of an account without credit (https://docs.nscale.com/docs/faqs/error-codes). */
export const nscale = defineProvider({
  name: 'nscale',
  docs: 'https://docs.nscale.com/docs/faqs/error-codes',
  baseUrl: 'https://inference.api.nscale.com/v1',
  onHub: true,
  codes: { insufficient_credit: 'account' },
  chat: { includeUsage: true },
})
