// What a server of tools may take: of time, of bytes and of places in a list. None of it is the server's own to choose.

export const mcpLimits = {
  /** Connecting and listing, together. */
  listMs: 30_000,
  callMs: 120_000,
  /** Saying goodbye to a session. */
  closeMs: 2_000,
  /** One HTTP answer, streams included. */
  answerBytes: 5 * 1024 * 1024,
  redirects: 3,
  /** Times that a connection asks for the rest of an answer whose stream has ended. */
  resumptions: 128,
  pages: 64,
  tools: 512,
  schemaBytes: 64 * 1024,
  /** All tools of a list, descriptions and schemas. */
  listBytes: 1024 * 1024,
  toolNameLength: 128,
  descriptionLength: 16 * 1024,
  /** Of a call's arguments, in UTF-16 units. */
  argumentsLength: 1024 * 1024,
  /** Of a result's text, as the model reads it. */
  outputBytes: 256 * 1024,
} as const
