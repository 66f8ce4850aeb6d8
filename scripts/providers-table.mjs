// `node scripts/with-runtime.mjs scripts/providers-table.mjs [--write]`: prints the tables of docs/providers.md, or writes them
// into it. A test holds the two equal.
import { readFileSync, writeFileSync } from 'node:fs'
import { providersTable } from '../test/contract/providers-table.ts'

const file = new URL('../docs/providers.md', import.meta.url)

if (process.argv.includes('--write')) {
  const text = readFileSync(file, 'utf8')
  const marked = /(<!-- table -->\n)[\s\S]*(\n<!-- \/table -->)/
  writeFileSync(
    file,
    text.replace(marked, (_, begin, end) => begin + providersTable() + end),
  )
} else process.stdout.write(`${providersTable()}\n`)
