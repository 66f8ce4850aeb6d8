// Messages in the JSON form of OpenAI's harmony library: what is rendered.
// https://cookbook.openai.com/articles/openai-harmony
import * as z from 'zod'

const tool = z.object({
  name: z.string(),
  description: z.string().nullish(),
  parameters: z.unknown().optional(),
})
const namespaces = z.record(
  z.string(),
  z.object({ name: z.string(), description: z.string().nullish(), tools: z.array(tool) }),
)
const textContent = z.object({ type: z.literal('text'), text: z.string() })
const systemContent = z.object({
  type: z.literal('system_content'),
  model_identity: z.string().nullish(),
  reasoning_effort: z.enum(['Low', 'Medium', 'High']).nullish(),
  conversation_start_date: z.string().nullish(),
  knowledge_cutoff: z.string().nullish(),
  channel_config: z
    .object({ valid_channels: z.array(z.string()), channel_required: z.boolean() })
    .nullish(),
  tools: namespaces.nullish(),
})
const developerContent = z.object({
  type: z.literal('developer_content'),
  instructions: z.string().nullish(),
  tools: namespaces.nullish(),
  response_format: z
    .object({ name: z.string(), description: z.string().nullish(), schema: z.unknown() })
    .nullish(),
})
const plainMessage = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  name: z.string().nullish(),
  content: z.union([
    z.string(),
    z.array(z.discriminatedUnion('type', [textContent, systemContent, developerContent])),
  ]),
  channel: z.string().nullish(),
  recipient: z.string().nullish(),
  content_type: z.string().nullish(),
})
const message = plainMessage.superRefine((item, context) => {
  const refuse = (path: (string | number)[], message: string) =>
    context.addIssue({ code: 'custom', path, message })
  if (item.role === 'tool' && item.name == null) {
    refuse(['name'], "a message of role 'tool' needs the tool's name")
  }
  for (const [index, part] of Array.isArray(item.content) ? item.content.entries() : []) {
    const owner = part.type === 'text' ? item.role : part.type.replace('_content', '')
    if (owner !== item.role) {
      refuse(['content', index, 'type'], `'${part.type}' belongs in a message of role '${owner}'`)
    }
  }
})
/** What `switchyard render` reads. */
export const conversation = z.object({ messages: z.array(message) })

/** One message in the JSON form of OpenAI's harmony library (`response_format` is our addition). */
export type HarmonyMessage = z.infer<typeof message>
export type SystemContent = z.infer<typeof systemContent>
export type DeveloperContent = z.infer<typeof developerContent>
export type HarmonyTool = z.infer<typeof tool>
export type ContentPart = Exclude<HarmonyMessage['content'], string>[number]
export type Namespaces = z.infer<typeof namespaces>
