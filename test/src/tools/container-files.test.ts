import { expect, it } from 'vitest'
import { lastCitations, placed } from '../../../src/tools/container-files.ts'

const citation = (path: string) => ({ type: 'container_file_citation', file_id: path, path })

it.each([
  ['see [it](sandbox:/mnt/data/a.csv).', 'a.csv', 'sandbox:/mnt/data/a.csv'],
  ['in /mnt/data/a.csv', 'a.csv', '/mnt/data/a.csv'],
  ['/mnt/data/a.csv.gz and /mnt/data/a.csv', 'a.csv', '/mnt/data/a.csv'],
  ['/mnt/data/a/b and /mnt/data/a', 'a', '/mnt/data/a'],
  ['/mnt/data/a-b and /mnt/data/a.', 'a', '/mnt/data/a'],
  ['[it](sandbox:/mnt/data/my%20file.csv)', 'my file.csv', 'sandbox:/mnt/data/my%20file.csv'],
])('in %j, %s is cited over its own link', (text, path, link) => {
  const { start_index, end_index } = placed(citation(path), text)
  expect(text.slice(Number(start_index), Number(end_index))).toBe(link)
  expect(Number(start_index)).toBe(text.lastIndexOf(link))
})

it('counts characters, and cites what is not mentioned at the end', () => {
  const at = placed(citation('a.csv'), '😀 /mnt/data/a.csv')
  expect(at).toMatchObject({ start_index: 2, end_index: 17 })
  expect(placed(citation('b.csv'), '😀!')).toMatchObject({ start_index: 2, end_index: 2 })
})

it('cites a file once, as it was last', () => {
  const [first, second] = [citation('a'), { ...citation('a'), filename: 'new' }]
  expect(lastCitations([first, citation('b'), second])).toEqual([second, citation('b')])
})
