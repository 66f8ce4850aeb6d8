// Some servers repeat the key that they were sent, and few keys look like one.

const hidden = '[redacted]'

/** The text without the key, also where JSON, a URL or HTML spells its characters another way. */
export function hideKey(text: string, key: string | undefined): string {
  if (key === undefined || key === '') return text
  const plain = text.replaceAll(key, hidden)
  return /[\\%&]/.test(plain) ? plain.replace(spellings(key), hidden) : plain
}

/** JSON may escape any character (PHP does so with each slash), and JSON within JSON escapes the escapes. */
function spellings(key: string): RegExp {
  const characters = Array.from(key, (character) => {
    const code = character.charCodeAt(0)
    const hex = code.toString(16).padStart(2, '0')
    const own = character.replace(/[^A-Za-z0-9]/, '\\$&')
    // Bounded, as the text may be nothing but backslashes.
    return `(?:\\\\{0,4}${own}|\\\\{1,4}u00${hex}|%${hex}|&#0{0,4}${code};|&#x0{0,4}${hex};)`
  })
  // Letters of a key are told apart, the digits of a code are not: both cases of those are few.
  return new RegExp(characters.join('').replace(/(u00|%|x0\{0,4\})([0-9a-f]{2})/g, caseless), 'g')
}

function caseless(_whole: string, before: string, hex: string): string {
  return before + hex.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`)
}
