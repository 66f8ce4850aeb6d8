export { type Config, ConfigError, parseConfig, secretNames } from './config.ts'
export { parseKeys } from './keys.ts'
