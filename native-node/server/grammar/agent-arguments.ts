// What the call of an agent's tool must say to be run (stream/call-shape.ts): more than its parameters tell the model.
import type { CallKind } from '../../../src/stream/call-shape.ts'

type Schema = Record<string, unknown>

const atLeastOne = { minItems: 1 }
const path = { minLength: 1 }

const runnable: Partial<Record<CallKind, Schema>> = {
  local_shell: { properties: { command: atLeastOne } },
  shell: { properties: { commands: atLeastOne } },
  apply_patch: {
    anyOf: [
      { properties: { type: { enum: ['delete_file'] }, path } },
      { properties: { type: { enum: ['create_file', 'update_file'] }, path }, required: ['diff'] },
    ],
  },
  tool_search: { type: 'object' },
}

/** The parameters of such a tool, with what its call would fail for. */
export function runnableParameters(kind: CallKind, parameters: Schema | null | undefined) {
  const more = runnable[kind]
  return more && parameters ? { allOf: [parameters, more] } : parameters
}
