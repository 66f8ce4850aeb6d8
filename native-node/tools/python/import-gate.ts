// The only way out of WebAssembly is the functions that it imports. Once Python has started, the ones that run code of the
// host, reach a JavaScript object, load a library or open a socket are shut, whatever Python may have got hold of: ctypes,
// forged memory and a forgotten proxy all end here. What is not named below is shut; so is whatever a later Pyodide adds.

/** As WebAssembly calls it. `sig` is Emscripten's: it puts some imports into the function table by it. */
export type ImportedFunction = ((...args: never[]) => unknown) & { sig?: string }
export type Imports = Record<string, Record<string, unknown>>

/** Files (all in memory), clocks, random bytes, memory, and calls from WebAssembly into itself. */
const open = new Set(
  `__syscall_chdir __syscall_chmod __syscall_dup __syscall_dup3 __syscall_faccessat __syscall_fadvise64
  __syscall_fallocate __syscall_fchdir __syscall_fchmod __syscall_fchmodat2 __syscall_fchown32 __syscall_fchownat
  __syscall_fcntl64 __syscall_fdatasync __syscall_fstat64 __syscall_fstatfs64 __syscall_ftruncate64 __syscall_getcwd
  __syscall_getdents64 __syscall_getuid32_js __syscall_ioctl __syscall_lstat64 __syscall_mkdirat __syscall_newfstatat
  __syscall_openat __syscall_readlinkat __syscall_renameat __syscall_rmdir __syscall_stat64 __syscall_statfs64
  __syscall_symlinkat __syscall_truncate64 __syscall_umask_js __syscall_unlinkat __syscall_utimensat
  fd_close fd_fdstat_get fd_pread fd_pwrite fd_read fd_seek fd_sync fd_write environ_get environ_sizes_get
  _mmap_js _msync_js _munmap_js clock_res_get clock_time_get emscripten_date_now emscripten_get_now _gmtime_js
  _localtime_js _mktime_js _timegm_js _tzset_js random_get emscripten_get_heap_max emscripten_resize_heap
  _emscripten_get_progname _PyEM_TrampolineCall_JS __call_sighandler`.split(/\s+/),
)

/** Refused, so that Python raises an ordinary exception: what well-meaning code may try. */
const eperm = -63
const refused = new Map<string, unknown>([
  ...`__syscall_accept4 __syscall_bind __syscall_connect __syscall_getpeername __syscall_getsockname
  __syscall_getsockopt __syscall_listen __syscall_mknodat __syscall_pipe __syscall_poll __syscall_recvfrom
  __syscall_recvmsg __syscall_sendmsg __syscall_sendto __syscall_socket _setitimer_js`
    .split(/\s+/)
    .map((name): [string, unknown] => [name, eperm]),
  ['_emscripten_system', -1],
  // EAI_FAIL
  ['getaddrinfo', -4],
  ['getnameinfo', -4],
  ['getprotobyname', 0],
  ['_emscripten_lookup_name', 0],
  // No library, and no symbol of one.
  ['_dlopen_js', 0],
  ['_dlsym_js', 0],
  ['_emscripten_dlopen_js', 0],
  // Asked before the system calls above and before a sleep: no, there is no event loop to wait in.
  ['can_run_sync_js', 0],
  ['_maybe_connect_async', null],
  ['_maybe_poll_async', null],
  ['_maybe_recvfrom_async', null],
  ['_maybe_sendto_async', null],
  ['_try_fcntl64', 0],
  ['_try_shutdown', 0],
  // The end of a proxy that was left somewhere: it only stays in a table.
  ['__hiwire_deduplicate_delete', undefined],
  ['_emscripten_log_formatted', undefined],
  ['emscripten_log_impl_js', undefined],
  ['_emscripten_runtime_keepalive_clear', undefined],
  ['emscripten_runtime_keepalive_push', undefined],
  ['emscripten_runtime_keepalive_pop', undefined],
])

export class ImportGate {
  #shut = false
  readonly #onBreach: (name: string) => never

  /** `onBreach` is called with an import that no honest Python reaches; it must not return. */
  constructor(onBreach: (name: string) => never) {
    this.#onBreach = onBreach
  }

  /** Puts the gate into every function of the imports, in place; `replaced` ones are ours from the start. */
  guard(imports: Imports, replaced: Readonly<Record<string, ImportedFunction>>): void {
    // Emscripten gives one object for both names.
    for (const functions of new Set([imports.env, imports.wasi_snapshot_preview1])) {
      for (const [name, value] of Object.entries(functions ?? {})) {
        if (typeof value !== 'function') continue
        const original = value as ImportedFunction
        const own = replaced[name]
        functions![name] = own ? signed(own, original) : this.#guarded(name, original)
      }
    }
  }

  /** For good. */
  shut(): void {
    this.#shut = true
  }

  #guarded(name: string, original: ImportedFunction): ImportedFunction {
    if (open.has(name)) return original
    const closed = refused.has(name) ? () => refused.get(name) : () => this.#onBreach(name)
    const guarded = (...args: never[]) => (this.#shut ? closed() : original(...args))
    return signed(guarded, original)
  }
}

function signed(made: ImportedFunction, original: ImportedFunction): ImportedFunction {
  if (original.sig !== undefined) made.sig = original.sig
  return made
}
