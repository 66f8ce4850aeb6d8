// Tools that a node runs for any model: the seam between the tool loop, which knows calls and items, and whoever runs them,
// here in the process (`switchyard serve`) or behind the tunnel (the gateway). JSON in, JSON out: it travels as it is.

/** A tool that a node may offer, by the name that clients declare it with. */
export type HostedToolName = 'code_interpreter' | 'web_search'

export interface HostedCall {
  tool: HostedToolName
  /** `run` for code_interpreter; `search`, `open` or `find` for web_search. */
  action: string
  /** As the model wrote them, parsed: `{code}`; the arguments of the browser's functions (docs/tools.md). */
  arguments: Record<string, unknown>
  /** What lives from call to call: a Python with its variables and files, a browser with its pages. Unset: a new one. */
  session?: string | undefined
  /** web_search: what the request's declaration of the tool asks for, checked (web-search-items.ts). */
  settings?: WebSearchSettings | undefined
  /** Files to put into a new session. */
  files?: HostedFile[] | undefined
  /** Which files of the result bring their bytes along; all are known by their ids. Unset: as many as may travel. */
  fileData?: 'images' | undefined
}

export interface WebSearchSettings {
  /** Host names; each stands for its subdomains, too. Unset: the whole web. */
  allowedDomains?: string[]
  userLocation?: { city?: string; region?: string; country?: string; timezone?: string }
  contextSize?: 'low' | 'medium' | 'high'
  /** `external_web_access: false`: nothing may be fetched. The browser keeps no cache, so it refuses every call. */
  offline?: true
}

export interface HostedFile {
  /** Relative to the session's own folder. */
  path: string
  /** Base64. */
  data: string
}

/** A file that a call made or changed. */
export interface HostedOutputFile {
  /** Relative to the session's own folder. */
  path: string
  bytes: number
  mediaType: string
  /** Its id in the Containers API; absent: it cannot be fetched later, as its host is an older one. */
  id?: string
  /** Base64. */
  data?: string
}

/** What came of a call. A tool that fails says so in `text`, which the model reads; only a missing host throws. */
export interface HostedResult {
  /** For the model. */
  text: string
  isError: boolean
  /** To go on with: the session of the call, or the new one. */
  session: string
  /** code_interpreter: what the code printed, and its last value. */
  logs?: string
  /** code_interpreter: the code ran and raised what it did not catch; its traceback is in the logs. */
  raised?: true
  /** code_interpreter: files that the call made or changed. */
  files?: HostedOutputFile[]
  /** web_search: pages that the text shows, by the cursor that cites them. */
  sources?: HostedSource[]
}

export interface HostedSource {
  /** As in `【cursor†…】`. */
  cursor: number
  url: string
  title: string
  /** First and last line of what is cited under it, where a cursor shows several pages: the hits of a search. */
  lines?: [first: number, last: number]
}

/** Who runs hosted tools, bound to one tenant. */
export interface HostedTools {
  /** True where a host for it can be asked now. */
  offers(tool: HostedToolName): Promise<boolean>
  /** Runs a call once: never repeated, whatever becomes of it. Throws ApiError where no host could be asked. */
  call(call: HostedCall, signal: AbortSignal): Promise<HostedResult>
  /**
   * Answers a request of the Containers API (containers.ts): code_interpreter's sessions and their files. HTTP as the tunnel
   * is, so that files stream. Every fault is a response; absent: there is no such API here.
   */
  containers?(request: Request): Promise<Response>
}
