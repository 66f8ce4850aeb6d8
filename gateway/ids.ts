import { idSource } from '../src/ids.ts'

/** Ids from the runtime's own randomness. */
export const newId = idSource((bytes) => crypto.getRandomValues(new Uint8Array(bytes)))
