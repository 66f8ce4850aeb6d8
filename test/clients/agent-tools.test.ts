// Tools that OpenAI's models have built in, run by the Agents SDK over a model that knows functions only.
import {
  Agent,
  applyPatchTool,
  OpenAIResponsesModel,
  Runner,
  shellTool,
  tool,
  toolNamespace,
  webSearchTool,
} from '@openai/agents'
import OpenAI from 'openai'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { features } from './features.ts'
import { model, scene } from './scene.ts'

const on = scene()
const runner = new Runner({ tracingDisabled: true })
const made = () =>
  new OpenAIResponsesModel(
    new OpenAI({ baseURL: on.baseURL, apiKey: 'unused', maxRetries: 0 }),
    model,
  )

/** What the model was told of its call, in the second turn. */
const told = () => on.asked()[1]?.messages.at(-1)

// The inner group is named as the table's column; a row holds for both ways.
describe.each([false, true])('streamed: %s', (stream) => {
  describe('@openai/agents, Responses', () => {
    const run = async (agent: Agent, input: string) => {
      if (!stream) return await runner.run(agent, input)
      const result = await runner.run(agent, input, { stream: true })
      await result.completed
      return result
    }

    it(features.shell, async () => {
      const ran: unknown[] = []
      const shell = shellTool({
        shell: {
          async run(action) {
            ran.push(action.commands)
            const outcome = { type: 'exit' as const, exitCode: 0 }
            return { output: [{ stdout: 'a.txt', stderr: '', outcome }] }
          },
        },
      })
      on.answers(
        { reasoning: 'I look.', calls: [{ name: 'shell', arguments: { commands: ['ls'] } }] },
        { text: 'There is a.txt.' },
      )
      const result = await run(new Agent({ name: 'Sam', model: made(), tools: [shell] }), 'Look')
      expect(ran).toEqual([['ls']])
      expect(result.finalOutput).toBe('There is a.txt.')
      expect(told()).toMatchObject({ role: 'tool', content: expect.stringContaining('a.txt') })
      expect(on.asked()[1]?.messages.at(-2)).toMatchObject({
        role: 'assistant',
        reasoning: 'I look.',
        tool_calls: [{ function: { name: 'shell' } }],
      })
    })

    it(features.patch, async () => {
      const applied: unknown[] = []
      const keep = async (operation: unknown) => {
        applied.push(operation)
        return { status: 'completed' as const, output: 'Done' }
      }
      const patch = applyPatchTool({
        editor: { createFile: keep, updateFile: keep, deleteFile: keep },
      })
      const operation = { type: 'create_file', path: 'a.txt', diff: '+hello' }
      on.answers({ calls: [{ name: 'apply_patch', arguments: operation }] }, { text: 'Written.' })
      const result = await run(new Agent({ name: 'Sam', model: made(), tools: [patch] }), 'Write')
      expect(applied).toEqual([operation])
      expect(result.finalOutput).toBe('Written.')
      expect(told()).toMatchObject({ role: 'tool', content: 'completed: Done' })
    })

    it(features.namespace, async () => {
      const lookUp = tool({
        name: 'look_up',
        description: 'Looks up an order.',
        parameters: z.object({ order: z.string() }),
        execute: async ({ order }) => `${order} is on its way`,
      })
      const orders = toolNamespace({ name: 'orders', description: 'Orders.', tools: [lookUp] })
      on.answers(
        { calls: [{ name: 'orders__look_up', arguments: { order: 'A1' } }] },
        { text: 'On its way.' },
      )
      const tools = [...orders, webSearchTool()]
      const result = await run(new Agent({ name: 'Sam', model: made(), tools }), 'Where is A1?')
      expect(result.finalOutput).toBe('On its way.')
      expect(told()).toMatchObject({ role: 'tool', content: expect.stringContaining('A1 is on') })
      expect(on.asked()[0]?.tools).toHaveLength(1)
    })
  })
})
