// How a request declares web_search, and the items that tell of its calls.
import { describe, expect, it } from 'vitest'
import { ApiError } from '../../../src/errors.ts'
import {
  isInDomains,
  parseWebSearchTool,
  sourcesInclude,
  webSearchItem,
} from '../../../src/tools/web-search-items.ts'

describe('the declaration', () => {
  it('is read with all its fields', () => {
    expect(
      parseWebSearchTool(
        {
          type: 'web_search',
          filters: { allowed_domains: ['PubMed.ncbi.nlm.nih.gov', 'example.org'] },
          user_location: {
            type: 'approximate',
            country: 'DE',
            city: 'Köln',
            region: null,
            timezone: 'Europe/Berlin',
          },
          search_context_size: 'high',
          external_web_access: false,
        },
        'tools[0]',
      ),
    ).toEqual({
      allowedDomains: ['pubmed.ncbi.nlm.nih.gov', 'example.org'],
      userLocation: { country: 'DE', city: 'Köln', timezone: 'Europe/Berlin' },
      contextSize: 'high',
      offline: true,
    })
  })

  it.each([
    ['nothing', { type: 'web_search' }],
    [
      'nulls',
      {
        type: 'web_search_preview',
        filters: null,
        user_location: null,
        search_context_size: null,
        search_content_types: ['text', 'image'],
        external_web_access: true,
      },
    ],
    ['a null list', { type: 'web_search', filters: { allowed_domains: null } }],
  ])('may ask for %s', (_, tool) => {
    expect(parseWebSearchTool(tool, 'tools[0]')).toEqual({})
  })

  it.each([
    [{ filters: { allowed_domains: [] } }, 'tools[2].filters.allowed_domains'],
    [
      { filters: { allowed_domains: ['a.b', 'https://x.y/'] } },
      'tools[2].filters.allowed_domains[1]',
    ],
    [{ filters: { allowed_domains: 'a.b' } }, 'tools[2].filters.allowed_domains'],
    [{ filters: { denied: ['a.b'] } }, 'tools[2].filters.denied'],
    [{ filters: [] }, 'tools[2].filters'],
    [{ user_location: { country: 'Germany' } }, 'tools[2].user_location.country'],
    [{ user_location: { type: 'exact' } }, 'tools[2].user_location.type'],
    [{ search_context_size: 'huge' }, 'tools[2].search_context_size'],
    [{ external_web_access: 'no' }, 'tools[2].external_web_access'],
  ])('%j is refused by name', (fields, param) => {
    const parse = () => parseWebSearchTool({ type: 'web_search', ...fields }, 'tools[2]')
    expect(parse).toThrow(ApiError)
    expect(parse).toThrow(`Invalid value for '${param}'`)
    expect(parse).toThrow(expect.objectContaining({ param, status: 400 }))
  })

  it('names hosts and what is below them', () => {
    const domains = ['example.org']
    for (const url of [
      'https://example.org/x',
      'http://a.b.example.org./',
      'https://EXAMPLE.org',
    ]) {
      expect(isInDomains(url, domains)).toBe(true)
    }
    for (const url of [
      'https://notexample.org/',
      'https://example.org.evil.com/',
      'https://evil.com/example.org',
      'https://example.org@evil.com/',
      'nonsense',
    ]) {
      expect(isInDomains(url, domains)).toBe(false)
    }
    expect(isInDomains('https://any.where/', undefined)).toBe(true)
  })
})

describe('the item', () => {
  const search = { action: 'search', arguments: { query: 'bees', topn: 3 } }
  const sources = [
    { cursor: 0, url: 'https://a.example/', title: 'A' },
    { cursor: 0, url: 'https://b.example/', title: 'B' },
    { cursor: 0, url: 'https://a.example/', title: 'A again' },
  ]

  it('of a search has sources only where they are asked for', () => {
    const result = { isError: false, sources }
    expect(webSearchItem({ id: 'ws_1', call: search, result })).toEqual({
      type: 'web_search_call',
      id: 'ws_1',
      status: 'completed',
      action: { type: 'search', query: 'bees', queries: ['bees'] },
    })
    expect(
      webSearchItem({ id: 'ws_1', call: search, result, include: [sourcesInclude] }).action,
    ).toEqual({
      type: 'search',
      query: 'bees',
      queries: ['bees'],
      sources: [
        { type: 'url', url: 'https://a.example/' },
        { type: 'url', url: 'https://b.example/' },
      ],
    })
    expect(webSearchItem({ id: 'ws_1', call: search, include: [sourcesInclude] })).toMatchObject({
      status: 'in_progress',
      action: { type: 'search', query: 'bees' },
    })
  })

  it('of an opened page tells its URL', () => {
    const byId = { action: 'open', arguments: { id: 2 } }
    const result = { isError: false, sources: sources.slice(1, 2) }
    expect(webSearchItem({ id: 'ws_1', call: byId }).action).toEqual({
      type: 'open_page',
      url: null,
    })
    expect(webSearchItem({ id: 'ws_1', call: byId, result }).action).toEqual({
      type: 'open_page',
      url: 'https://b.example/',
    })
    const byUrl = { action: 'open', arguments: { id: 'https://c.example/' } }
    expect(webSearchItem({ id: 'ws_1', call: byUrl, result: { isError: true } })).toMatchObject({
      status: 'failed',
      action: { type: 'open_page', url: 'https://c.example/' },
    })
  })

  it('of a find is find_in_page', () => {
    const call = { action: 'find', arguments: { pattern: 42 } }
    const result = { isError: false, sources: sources.slice(0, 1) }
    expect(webSearchItem({ id: 'ws_1', call, result }).action).toEqual({
      type: 'find_in_page',
      url: 'https://a.example/',
      pattern: '42',
    })
  })
})
