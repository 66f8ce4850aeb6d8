// The terminals of Lark's library `common`, as regular expressions that need not look back.
// https://github.com/lark-parser/lark/blob/master/lark/grammars/common.lark

const integer = '[0-9]+'
const decimal = `(?:${integer}\\.[0-9]*|\\.${integer})`
const exponent = `[eE][+-]?${integer}`
const float = `(?:${integer}${exponent}|${decimal}(?:${exponent})?)`

/** Name → regular expression; undefined for what is nothing on its own. */
export const commonTerminals: ReadonlyMap<string, string | undefined> = new Map([
  ['DIGIT', '[0-9]'],
  ['HEXDIGIT', '[0-9a-fA-F]'],
  ['INT', integer],
  ['SIGNED_INT', `[+-]?${integer}`],
  ['DECIMAL', decimal],
  ['_EXP', exponent],
  ['FLOAT', float],
  ['SIGNED_FLOAT', `[+-]?${float}`],
  ['NUMBER', `${float}|${integer}`],
  ['SIGNED_NUMBER', `[+-]?(?:${float}|${integer})`],
  ['_STRING_INNER', undefined],
  ['_STRING_ESC_INNER', undefined],
  ['ESCAPED_STRING', '"(?:[^"\\\\\\n]|\\\\[^\\n])*"'],
  ['LCASE_LETTER', '[a-z]'],
  ['UCASE_LETTER', '[A-Z]'],
  ['LETTER', '[a-zA-Z]'],
  ['WORD', '[a-zA-Z]+'],
  ['CNAME', '[a-zA-Z_][a-zA-Z_0-9]*'],
  ['WS_INLINE', '[ \\t]+'],
  ['WS', '[ \\t\\f\\r\\n]+'],
  ['CR', '\\r'],
  ['LF', '\\n'],
  ['NEWLINE', '(?:\\r?\\n)+'],
  ['SH_COMMENT', '#[^\\n]*'],
  ['CPP_COMMENT', '//[^\\n]*'],
  ['C_COMMENT', '/\\*(?:[^*]|\\*+[^*/])*\\*+/'],
  ['SQL_COMMENT', '--[^\\n]*'],
])
