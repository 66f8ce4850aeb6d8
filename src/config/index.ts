export { type Config, parseConfig, secretNames } from './config.ts'
export { ConfigError } from './config-error.ts'
export { parseKeys } from './keys.ts'
