// Who may import whom (AGENTS.md). An import that breaks the rule fails here, with the line.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

interface Import {
  file: string
  /** A path from the root for relative imports, the package's name otherwise. */
  target: string
}

function filesBelow(folder: string, endings: string[]): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .map((name) => join(folder, name))
}

function importsOf(folder: string): Import[] {
  const pattern =
    /(?:^|\n)\s*(?:import|export)\b[^'"\n;]*?from\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)\s*import\s+['"]([^'"]+)['"]/g
  // Multi-line import lists: newlines inside braces are no borders.
  return filesBelow(folder, ['.ts']).flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8').replace(/\{[^{}]*\}/g, (list) =>
      list.replaceAll('\n', ' '),
    )
    return [...text.matchAll(pattern)].map((match) => {
      const name = match[1] ?? match[2] ?? match[3] ?? ''
      const target = name.startsWith('.')
        ? relative(root, resolve(root, dirname(file), name))
        : name
      return { file, target }
    })
  })
}

const mcpClient = '@modelcontextprotocol/client'

const within = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`)
const packageOf = (target: string) =>
  target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/')

function offenders(
  folder: string,
  allowedFolders: string[],
  allowedPackages: (name: string) => boolean,
): string[] {
  return importsOf(folder)
    .filter(({ target }) => {
      const local = ['src', 'gateway', 'native-node', 'test', 'bench', 'scripts', 'build'].find(
        (top) => within(target, top),
      )
      return local
        ? !allowedFolders.some((allowed) => within(target, allowed))
        : !allowedPackages(packageOf(target))
    })
    .map(({ file, target }) => `${file} imports ${target}`)
}

/** Files that import each other in a circle, types included: each group as `a → b → a`. */
function circles(folders: readonly string[]): string[] {
  const next = new Map<string, string[]>()
  for (const { file, target } of folders.flatMap(importsOf)) {
    next.set(file, [...(next.get(file) ?? []), target])
  }
  const found: string[] = []
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]) => {
    const at = path.indexOf(file)
    if (at !== -1) found.push([...path.slice(at), file].join(' → '))
    if (at !== -1 || done.has(file)) return
    for (const target of next.get(file) ?? []) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of next.keys()) visit(file, [])
  return found
}

describe('layering', () => {
  it('no files import each other in a circle', () => {
    expect(circles(['src', 'gateway', 'native-node'])).toEqual([])
  })

  it('finds the imports at all', () => {
    expect(importsOf('src').length).toBeGreaterThan(20)
    expect(importsOf('gateway').some(({ target }) => target === 'hono')).toBe(true)
  })

  it('src/ imports itself, zod, eventsource-parser and the schema validator', () => {
    expect(
      offenders('src', ['src'], (name) => ['zod', 'eventsource-parser', mcpClient].includes(name)),
    ).toEqual([])
  })

  it('src/tools/mcp/ alone knows the MCP client, and loads it when it is first used', () => {
    const files = importsOf('src').filter(({ target }) => packageOf(target) === mcpClient)
    expect(files.length).toBeGreaterThan(0)
    expect(files.filter(({ file }) => !within(file, 'src/tools/mcp'))).toEqual([])
    const loads = [...new Set(files.map(({ file }) => file))].flatMap((file) =>
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .filter((line) =>
          /^(?:import|export)\s+(?!type\b).*\bfrom\b.*@modelcontextprotocol/.test(line),
        )
        .map((line) => `${file}: ${line}`),
    )
    expect(loads).toEqual([])
  })

  it('src/ touches no Node, Workers or console globals', () => {
    const found = filesBelow('src', ['.ts']).flatMap((file) =>
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .filter((line) =>
          /\b(?:process\.|Buffer\.|console\.|require\(|Date\.now\(|Math\.random\(|crypto\.getRandomValues)/.test(
            line.replace(/\/\/.*|\/\*.*|^\s*\*.*/, ''),
          ),
        )
        .map((line) => `${file}: ${line.trim()}`),
    )
    expect(found).toEqual([])
  })

  it('protocol, convert, sse, stream and tunnel never import providers or routing', () => {
    const inner = ['protocol', 'sse', 'convert', 'stream', 'tunnel'].flatMap((part) =>
      importsOf(`src/${part}`),
    )
    expect(
      inner.filter(
        ({ target }) =>
          within(target, 'src/providers') ||
          within(target, 'src/routing') ||
          within(target, 'src/faces'),
      ),
    ).toEqual([])
  })

  it('gateway/ imports src/, hono and the Workers runtime, never native-node/', () => {
    expect(
      offenders(
        'gateway',
        ['gateway', 'src'],
        (name) => name === 'hono' || name.startsWith('cloudflare:'),
      ),
    ).toEqual([])
  })

  it('native-node/ never imports gateway/', () => {
    expect(importsOf('native-node').filter(({ target }) => within(target, 'gateway'))).toEqual([])
  })

  it('C++: ops know no engine, the engine knows no addon', () => {
    const includes = (folder: string) =>
      filesBelow(folder, ['.cpp', '.h']).flatMap((file) =>
        [...readFileSync(join(root, file), 'utf8').matchAll(/#include "([^"]+)"/g)].map(
          ([, name]) => ({ file, name: name ?? '' }),
        ),
      )
    const opsFiles = new Set(
      filesBelow('native-node/engine/ops', ['.h', '.inc']).map((file) => file.split('/').at(-1)),
    )
    expect(
      includes('native-node/engine/ops').filter(
        ({ name }) => !opsFiles.has(name.split('/').at(-1)),
      ),
    ).toEqual([])
    expect(
      includes('native-node/engine').filter(
        ({ name }) => name.includes('napi') || name.includes('addon'),
      ),
    ).toEqual([])
  })
})
