import { describe, expect, it } from 'vitest'
import { hideKey } from '../../../src/providers/hide-key.ts'

const key = 'kJ/9+z=.ab'

describe('a key in an upstream’s text', () => {
  it.each([
    ['as it is', key],
    ['with escaped slashes', 'kJ\\/9+z=.ab'],
    ['in JSON within JSON', 'kJ\\\\\\/9+z=.ab'],
    ['in escapes of JSON', 'kJ\\u002f9\\u002Bz\\u003d.ab'],
    ['in escapes alone', Array.from(key, (c) => `\\u00${c.charCodeAt(0).toString(16)}`).join('')],
    ['in a URL', 'kJ%2F9%2bz%3D.ab'],
    ['in HTML', 'kJ&#x2F;9&#43;z&#61;.ab'],
  ])('is hidden %s', (_, spelt) => {
    expect(hideKey(`no ${spelt} here`, key)).toBe('no [redacted] here')
  })

  it('is told from another one', () => {
    expect(hideKey('no kj\\/9+z=.ab', key)).toBe('no kj\\/9+z=.ab')
    expect(hideKey('100 % of \\ it', '')).toBe('100 % of \\ it')
    expect(hideKey('100 % of \\ it', undefined)).toBe('100 % of \\ it')
  })

  it('is looked for in a text of backslashes without end', () => {
    const text = '\\'.repeat(64 * 1024)
    expect(hideKey(text, key)).toBe(text)
  })
})
