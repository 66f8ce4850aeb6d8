// Entry of the Worker: the app and its Durable Object classes.
import { createApp } from './app.ts'

export { NodeHub } from './durable-objects/node-hub.ts'
export { ResponseStore } from './durable-objects/response-store.ts'

export default createApp()
