"""Whether texts are of grammars in Lark's syntax, as lark itself has it: a JSON line [grammar, text] from standard input each,
and a JSON line of verdicts to standard output: {"earley": ..., "greedy": ..., "lalr": ...}, null where lark has none.

    pip install lark

earley takes every text that the rules can be read as, terminals of every length (lexer dynamic_complete); greedy only takes the
longest terminal at each place, and lalr cuts the text into terminals first. lark.ts runs this and compares.
"""

import functools
import json
import signal
import sys

import lark

OPTIONS = {
    "earley": dict(parser="earley", lexer="dynamic_complete", ambiguity="explicit"),
    "greedy": dict(parser="earley", lexer="dynamic"),
    "lalr": dict(parser="lalr"),
}
SECONDS = 20


@functools.cache
def parser(grammar, kind):
    try:
        return lark.Lark(grammar, **OPTIONS[kind])
    except (lark.exceptions.LarkError, ValueError):
        return None


def verdict(grammar, kind, text):
    made = parser(grammar, kind)
    if made is None:
        return None
    signal.alarm(SECONDS)
    try:
        made.parse(text)
        return True
    except lark.exceptions.UnexpectedInput:
        return False
    except (TimeoutError, RecursionError, RuntimeError):
        return None
    finally:
        signal.alarm(0)


def late(*_):
    raise TimeoutError


def main():
    signal.signal(signal.SIGALRM, late)
    print(f"lark {lark.__version__}", file=sys.stderr)
    for line in sys.stdin:
        grammar, text = json.loads(line)
        print(json.dumps({kind: verdict(grammar, kind, text) for kind in OPTIONS}), flush=True)


if __name__ == "__main__":
    main()
