export { type Config, parseConfig, secretNames } from './config.ts'
export { ConfigError } from './config-error.ts'
export { parseKeys, sharedBy } from './keys.ts'
