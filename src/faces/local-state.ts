// State that lives in this process: the store answers the faces, and background responses run beside the request.
import type { LocalStore } from '../store/local-store.ts'
import type { BackgroundWork, Json, TurnStore } from '../store/store.ts'
import type { FaceDeps } from './deps.ts'
import { runInBackground } from './responses.ts'

/** Begins a background response in this process; gives its object. */
export function startHere(
  store: LocalStore,
  id: string,
  work: BackgroundWork,
  deps: FaceDeps,
): Json {
  return store.start(id, work.turn, work.queued, (recorder, signal) =>
    runInBackground(work, recorder, signal, deps),
  )
}

/** The store as the faces' state; `deps` are those that background responses are made with. */
export function localState(store: LocalStore, deps: () => FaceDeps): TurnStore {
  return {
    history: (id) => store.history(id),
    items: (ids) => store.items(ids),
    begin: (turn) => store.begin(turn),
    async background(work) {
      const id = store.newResponseId(work.turn)
      const response = startHere(store, id, work, deps())
      return {
        response,
        async events() {
          const log = await store.events(id, -1)
          if (log === undefined || log === 'none') throw new Error(`${id} has no events.`)
          return log
        },
      }
    },
  }
}
