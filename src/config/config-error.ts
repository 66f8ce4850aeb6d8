/** A config document that is refused; the message names the source and the path of the bad field. */
export class ConfigError extends Error {
  readonly source: string
  readonly path: string

  constructor(source: string, path: string, problem: string) {
    super(`${source}: ${path === '' ? '' : `${path}: `}${problem}`)
    this.name = 'ConfigError'
    this.source = source
    this.path = path
  }
}
