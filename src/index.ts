// The core's public surface.
export { chatToResponses } from './convert/chat-request.ts'
export { type ResponsesStreamOptions, ResponsesToChatStream } from './convert/chat-stream.ts'
export { type Converted, responsesToChat } from './convert/request.ts'
export { chatToResponse, responseToChat } from './convert/response.ts'
export { type ChatStreamOptions, ChatToResponsesStream } from './convert/stream.ts'
export { ApiError, type ErrorBody, type ErrorCode, toApiError } from './errors.ts'
export { handleChat } from './faces/chat.ts'
export type {
  Candidate,
  Dialect,
  FaceDeps,
  Outcome,
  PlanContext,
  UpstreamCall,
} from './faces/deps.ts'
export { handleMessages } from './faces/messages.ts'
export { handleResponses } from './faces/responses.ts'
export { type IdPrefix, idSource, type NewId } from './ids.ts'
export { parseJson, readJson } from './json.ts'
export { type ChatRequest, type ChatResponse, parseChatRequest } from './protocol/chat.ts'
export { type ResponsesEvent, responsesEventSchema } from './protocol/events.ts'
export {
  parseResponsesRequest,
  type ResponseObject,
  type ResponsesRequest,
  type ResponseUsage,
  responseObjectSchema,
} from './protocol/responses.ts'
export { SseDecoder, type SseMessage } from './sse/decode.ts'
export { doneMarker, encodeChunk, encodeEvent, pingComment } from './sse/encode.ts'
export { collectChat, collectResponse } from './stream/collect.ts'
export { ResponseWriter, type WriterOptions } from './stream/writer.ts'
