export { type Config, ConfigError, parseConfig, secretNames } from './config.ts'
