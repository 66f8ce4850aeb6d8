// What the client demanded of the output's form, checked when the output is complete: grammars hold the model to most of it
// while it writes (grammar/answer-constraints.ts), not to all. A miss is reported as a failure, never as a success.
import { ApiError } from '../../src/errors.ts'
import type { ResponsesRequest } from '../../src/protocol/responses.ts'
import type { WriterError } from '../../src/stream/writer.ts'
import { outputCheck } from '../../src/tools/structured-contract.ts'
import { offeredTools } from './harmony-request.ts'
import { checkJsonObject, compileOutputSchema, type OutputCheck } from './output-schema.ts'

export interface Output {
  /** Text of the final answer. */
  text: string
  /** By a stop string: the text is what stands before that. */
  isStopped: boolean
  calls: readonly { name: string; arguments: string }[]
}

/** Undefined when the output is as demanded. */
export type OutputContract = (output: Output) => WriterError | undefined

/** Prepares the checks of a request; throws ApiError for a schema or a choice that can not be checked. */
export function outputContract(request: ResponsesRequest): OutputContract {
  const strict = strictFunctions(request)
  const format = formatCheck(request)
  const callDemanded = demandsCall(request)
  // The caller has its own check, and asks again where the answer does not fit.
  const isLeft = request.output_check === outputCheck.output_check
  const isChecked = !isLeft || request.text?.format?.type === 'json_object'
  if (callDemanded && offeredTools(request).length === 0) {
    throw new ApiError(
      'invalid_value',
      "'tool_choice' demands a call, but there are no functions.",
      {
        param: 'tool_choice',
      },
    )
  }
  return ({ text, isStopped, calls }) => {
    for (const call of isLeft ? [] : calls) {
      const reason = strict.get(call.name)?.(call.arguments)
      if (reason !== undefined) {
        return invalid(`The arguments for function '${call.name}' do not fit: ${reason}.`)
      }
    }
    if (calls.length > 0) return undefined
    if (callDemanded) {
      const message = 'The model answered without the function call that tool_choice demands.'
      return { code: 'tool_choice_not_met', message }
    }
    const reason = isChecked && !isStopped ? format?.(text) : undefined
    return reason === undefined
      ? undefined
      : invalid(`The model's answer does not have the format that was asked for: ${reason}.`)
  }
}

function invalid(message: string): WriterError {
  return { code: 'structured_output_invalid', message }
}

/** Whether an answer without a call is none. */
export function demandsCall({ tool_choice: choice }: ResponsesRequest): boolean {
  if (typeof choice !== 'object' || choice === null) return choice === 'required'
  return choice.type === 'function' || choice.mode === 'required'
}

function strictFunctions(request: ResponsesRequest): Map<string, OutputCheck> {
  const checks = new Map<string, OutputCheck>()
  for (const { tool, index } of offeredTools(request)) {
    if (tool.strict !== true || !tool.parameters) continue
    const param = `tools[${index}].parameters`
    checks.set(tool.name, compileOutputSchema(tool.parameters, param))
    refuseOtherThanObject(tool.parameters.type, `${param}.type`)
  }
  return checks
}

/** Arguments are always an object: a schema of anything else could never be met. */
function refuseOtherThanObject(type: unknown, param: string): void {
  if (type === undefined || [type].flat().includes('object')) return
  throw new ApiError('invalid_value', `'${param}' must be object, as arguments are named.`, {
    param,
  })
}

function formatCheck(request: ResponsesRequest): OutputCheck | undefined {
  const format = request.text?.format
  if (!format) return undefined
  switch (format.type) {
    case 'text':
      return undefined
    case 'json_object':
      return checkJsonObject
    case 'json_schema':
      return compileOutputSchema(format.schema, 'text.format.schema')
    default: {
      const { type } = format as { type: string }
      const message = `A text format of type '${type}' is not supported by this model.`
      throw new ApiError('unsupported_parameter', message, { param: 'text.format' })
    }
  }
}
