"""The notebook inside of the sandbox: runs cells in one namespace and shows what the last expression is worth.

Read by interpreter.ts and run once, while JavaScript can still be reached: it takes away what could reach it. The wall is
import-gate.ts, not this file; this file is what makes honest mistakes end in honest messages.
"""


def _notebook():
    import ast
    import asyncio
    import builtins
    import gc
    import inspect
    import json
    import linecache
    import os
    import sys
    import time
    import traceback
    import types

    blocked = {'js', 'pyodide', 'pyodide_js', '_pyodide', '_pyodide_core', 'ctypes', '_ctypes', '_emscripten'}

    def unpatch():
        """Pyodide's own event loop, sleep and import hooks call JavaScript."""
        asyncio._set_running_loop(None)
        asyncio.run = asyncio.runners.run
        time.sleep = sleeper(getattr(time.sleep, '__wrapped__', time.sleep))
        sys.excepthook = sys.__excepthook__
        sys.meta_path[:] = [each for each in sys.meta_path if top(origin(each)) not in blocked]
        for name in [each for each in sys.modules if top(each) in blocked]:
            module = sys.modules.pop(name)
            # What somebody still holds of it is empty. Some are JavaScript objects.
            if isinstance(module, types.ModuleType):
                vars(module).clear()
        # Python refuses to import what stands here as None.
        sys.modules.update(dict.fromkeys(blocked))

    def top(name):
        return name.partition('.')[0]

    def sleeper(pause):
        def sleep(seconds, /):
            """Sleeps in pieces: an interrupt is seen only between steps of Python, at every fiftieth."""
            end = time.monotonic() + seconds
            pause(min(seconds, 0.05))
            while (left := end - time.monotonic()) > 0:
                for _ in range(64):
                    pass
                pause(min(left, 0.05))

        return sleep

    def origin(value):
        owner = value if isinstance(value, type) else type(value)
        return owner.__module__

    class Nothing:
        """What the event loop waits with: there are no sockets, only time."""

        def select(self, timeout):
            if timeout is None:
                raise RuntimeError('The event loop waits for something that can never happen here.')
            if timeout > 0:
                time.sleep(timeout)
            return []

        def close(self):
            pass

    class NotebookLoop(asyncio.BaseEventLoop):
        def __init__(self):
            super().__init__()
            self._selector = Nothing()

        def _process_events(self, events):
            pass

        def _write_to_self(self):
            pass

    class Policy(asyncio.events._BaseDefaultEventLoopPolicy):
        _loop_factory = NotebookLoop

    unpatch()
    asyncio.events._set_event_loop_policy(Policy())
    os.environ.clear()
    os.environ.update(HOME='/mnt/data', LANG='C.UTF-8', TZ='UTC')
    os.chdir('/mnt/data')
    main = types.ModuleType('__main__')
    main.__builtins__ = builtins
    names = main.__dict__
    open_file, load, dump, show_line = open, json.load, json.dump, print
    known = sys.stdlib_module_names
    cells = 0
    loop = None
    # Tracebacks are shown whatever becomes of sys.stderr.
    errors = None

    def stream(descriptor):
        return open_file(descriptor, 'w', 1, 'utf-8', 'backslashreplace', closefd=False)

    def open_streams():
        nonlocal errors
        if errors is None or errors.closed:
            errors = sys.stderr = sys.__stderr__ = stream(2)
        if sys.__stdout__ is None or sys.__stdout__.closed:
            sys.__stdout__ = stream(1)
        if sys.stdout is None or getattr(sys.stdout, 'closed', False):
            sys.stdout = sys.__stdout__

    def flush():
        for each in (sys.stdout, sys.stderr):
            try:
                each.flush()
            except Exception:
                pass

    def evaluate(code):
        """The value of compiled code; awaits it where it has an await at its top level."""
        nonlocal loop
        value = eval(code, names)
        if not (code.co_flags & inspect.CO_COROUTINE):
            return value
        if loop is None or loop.is_closed():
            loop = NotebookLoop()
        return loop.run_until_complete(value)

    def compiled(tree, name):
        return compile(tree, name, 'exec' if isinstance(tree, ast.Module) else 'eval',
                       ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)

    def run_cell(source, name):
        tree = ast.parse(source, name)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(';'):
            last = ast.Expression(tree.body.pop().value)
        if tree.body:
            evaluate(compiled(tree, name))
        value = evaluate(compiled(last, name)) if last else None
        if value is not None:
            names['_'] = value
            print(repr(value))

    def hint(error, source):
        missing = top(error.name or '') if isinstance(error, ModuleNotFoundError) else ''
        if missing in blocked:
            return f'{missing!r} is not available in this sandbox.'
        if missing and missing not in known:
            return "Only Python's standard library is available here; packages cannot be installed."
        if isinstance(error, SyntaxError) and any(line.lstrip()[:1] in ('!', '%') for line in source.splitlines()):
            return 'Shell commands (!) and magics (%) are not available here.'

    def chain(trace):
        """A traceback with all that it names as its causes."""
        waiting = [trace]
        while waiting:
            yield (each := waiting.pop())
            waiting += [*filter(None, (each.__cause__, each.__context__)), *(each.exceptions or ())]

    def show(error, source):
        """The traceback without what is ours."""
        trace = traceback.TracebackException.from_exception(error)
        for each in chain(trace):
            each.stack[:] = [frame for frame in each.stack if frame.filename != '<notebook>']
        lines = list(trace.format())
        note = hint(error, source)
        flush()
        show_line(''.join(lines).rstrip(), *([note] if note else []), sep='\n', file=errors)

    def attempt(source):
        nonlocal cells
        cells += 1
        name = f'<cell {cells}>'
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        try:
            run_cell(source, name)
            return True
        except SystemExit as exit:
            if exit.code in (None, 0):
                return True
            flush()
            show_line(f'SystemExit: {exit.code}', file=errors)
        except BaseException as error:
            show(error, source)
        return False

    def run():
        """One cell, as interpreter.ts asks for it."""
        # Closed for good, nothing could be shown: this session is over.
        os.fstat(1)
        os.fstat(2)
        open_streams()
        sys.modules['__main__'] = main
        with open_file('/run/notebook/request.json', encoding='utf-8') as file:
            source = load(file)
        try:
            ok = attempt(source)
        except KeyboardInterrupt:
            # It came while a traceback was shown.
            ok = False
        flush()
        for _ in range(2):
            try:
                with open_file('/run/notebook/answer.json', 'w', encoding='utf-8') as file:
                    dump(ok, file)
                break
            except KeyboardInterrupt:
                pass

    module = types.ModuleType('_notebook')
    module.run = run
    sys.modules['_notebook'] = module
    sys.__stdout__ = sys.stdout = stream(1)
    open_streams()
    # A snapshot brings the random state of the interpreter that made it.
    if 'random' in sys.modules:
        sys.modules['random'].seed()
    gc.collect()


_notebook()
del _notebook
