// A node that offers tools and no model.
import { ApiError } from '../../src/errors.ts'
import type { Backend } from './backend.ts'

/** Answers no call: nothing can name a model of it. */
export function noBackend(): Backend {
  return {
    models: [],
    slots: 1,
    async send() {
      throw new ApiError('model_not_found', 'This node has no model.', { param: 'model' })
    },
    status: () => ({ running: 0, waiting: 0 }),
    close: async () => {},
  }
}
