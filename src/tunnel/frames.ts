// The tunnel's frames: `u8 version · u8 type · u32 stream · payload`, big-endian, one frame a WebSocket message.
// Only bytes and lengths live here; what a payload means stands in messages.ts, the rules of a conversation in
// channel.ts, numbers and test vectors in docs/tunnel.md.
import type { z } from 'zod'
import { protocolVersion } from './messages.ts'

/** Type numbers are wire format: never reuse one. */
export const frameTypes = {
  HELLO: 1,
  WELCOME: 2,
  STATUS: 3,
  REQUEST: 4,
  REQUEST_DATA: 5,
  HEAD: 6,
  DATA: 7,
  END: 8,
  ERROR: 9,
  CANCEL: 10,
  CREDIT: 11,
  DRAIN: 12,
} as const

export type FrameName = keyof typeof frameTypes

/** Largest frame, header included. */
export const maxFrameBytes = 1_048_576
export const headerBytes = 6

/** Largest piece of a body in one frame: small enough that a big body does not hold up other streams' tokens. */
export const maxPieceBytes = 65_536

/** Credit that every body starts with unless its receiver announces another window. */
export const defaultWindow = 262_144

/** Close codes of the WebSocket (4000-4999 are the application's). Every one is explained in docs/tunnel.md. */
export const closeCodes = {
  normal: 1000,
  tooBig: 1009,
  protocolError: 4000,
  helloTimeout: 4001,
  upgradeRequired: 4002,
  nameRefused: 4003,
  invalidHello: 4004,
  superseded: 4009,
  silent: 4011,
  tooManyNodes: 4013,
} as const

export interface Frame {
  version: number
  /** Undefined: a type that this code does not know. */
  type: FrameName | undefined
  typeNumber: number
  stream: number
  /** A view into the message, not a copy. */
  payload: Uint8Array
}

/** A peer that breaks the protocol; `closeCode` is what its socket is closed with. */
export class FrameError extends Error {
  readonly closeCode: number

  constructor(message: string, closeCode: number = closeCodes.protocolError) {
    super(message)
    this.name = 'FrameError'
    this.closeCode = closeCode
  }
}

const names = new Map<number, FrameName>(
  (Object.keys(frameTypes) as FrameName[]).map((name) => [frameTypes[name], name]),
)
const encoder = new TextEncoder()
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const empty = new Uint8Array(0)

/** One frame as bytes; the payload is copied. */
export function encodeFrame(
  type: FrameName,
  stream: number,
  payload: Uint8Array = empty,
): Uint8Array {
  return encodeParts(type, stream, [payload])
}

/** One frame whose payload is the parts one after another: what one turn wrote, joined in one copy. */
export function encodeParts(
  type: FrameName,
  stream: number,
  parts: readonly Uint8Array[],
): Uint8Array {
  let length = headerBytes
  for (const part of parts) length += part.byteLength
  if (length > maxFrameBytes)
    throw new FrameError(`${type} frame of ${length} bytes`, closeCodes.tooBig)
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, protocolVersion)
  view.setUint8(1, frameTypes[type])
  view.setUint32(2, stream)
  let at = headerBytes
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}

/** Header and payload of one message. The version is not judged here: who reads decides what to answer. */
export function decodeFrame(bytes: Uint8Array): Frame {
  if (bytes.byteLength < headerBytes)
    throw new FrameError(`A message of ${bytes.byteLength} bytes is no frame.`)
  if (bytes.byteLength > maxFrameBytes)
    throw new FrameError(`A frame of ${bytes.byteLength} bytes is too big.`, closeCodes.tooBig)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const typeNumber = view.getUint8(1)
  return {
    version: view.getUint8(0),
    type: names.get(typeNumber),
    typeNumber,
    stream: view.getUint32(2),
    payload: bytes.subarray(headerBytes),
  }
}

/** A control frame; its payload is JSON in UTF-8. */
export function encodeJson(type: FrameName, stream: number, message: unknown): Uint8Array {
  return encodeFrame(type, stream, encoder.encode(JSON.stringify(message)))
}

/** A control frame's payload, checked against its schema. */
export function decodeJson<Schema extends z.ZodType>(
  frame: Frame,
  schema: Schema,
): z.output<Schema> {
  let value: unknown
  try {
    value = JSON.parse(strictDecoder.decode(frame.payload))
  } catch {
    throw new FrameError(`The payload of ${frame.type} is no JSON.`)
  }
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const where = issue?.path.join('.') ?? ''
  throw new FrameError(`${frame.type}${where && `.${where}`}: ${issue?.message ?? 'invalid'}`)
}

/** CREDIT: the bytes by which the sender's allowance grows. */
export function encodeCredit(stream: number, bytes: number): Uint8Array {
  const payload = new Uint8Array(4)
  new DataView(payload.buffer).setUint32(0, bytes)
  return encodeFrame('CREDIT', stream, payload)
}

export function decodeCredit(frame: Frame): number {
  if (frame.payload.byteLength !== 4) throw new FrameError('CREDIT takes 4 bytes.')
  const { buffer, byteOffset } = frame.payload
  const bytes = new DataView(buffer, byteOffset, 4).getUint32(0)
  if (bytes === 0) throw new FrameError('CREDIT of zero bytes.')
  return bytes
}

const lastPiece = 1

/** REQUEST_DATA: `u8 flags · bytes`; flag 1 marks the last piece. */
export function encodeRequestData(
  stream: number,
  parts: readonly Uint8Array[],
  last: boolean,
): Uint8Array {
  return encodeParts('REQUEST_DATA', stream, [Uint8Array.of(last ? lastPiece : 0), ...parts])
}

export function decodeRequestData(frame: Frame): { bytes: Uint8Array; last: boolean } {
  const flags = frame.payload[0]
  if (flags === undefined) throw new FrameError('REQUEST_DATA without its flags.')
  return { bytes: frame.payload.subarray(1), last: (flags & lastPiece) !== 0 }
}
