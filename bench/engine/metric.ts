// One line of the table that `npm run bench:engine` prints.

/** What a whole gpt-oss-20b has. */
export const wholeLayers = 24

export interface Metric {
  metric: string
  value: number
  must?: number
  stretch?: number
  /** Whether less is better. */
  less?: boolean
  note?: string
}
