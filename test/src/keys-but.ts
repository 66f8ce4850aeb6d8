import type { IdempotencyKeys } from '../../src/store/idempotency.ts'
import type { LocalStore } from '../../src/store/local-store.ts'
import type { KeyedStore } from '../../src/store/store.ts'

/** The store as a request with a key sees it; some of what it says of keys is the test's. */
export function keysBut(store: LocalStore, own: Partial<IdempotencyKeys>): KeyedStore {
  const { keys } = store
  return {
    get: (id) => store.get(id),
    events: (id, after) => store.events(id, after),
    keys: {
      take: (...args) => keys.take(...args),
      hold: (...args) => keys.hold(...args),
      end: (...args) => keys.end(...args),
      ended: (key) => keys.ended(key),
      ...own,
    },
  }
}
