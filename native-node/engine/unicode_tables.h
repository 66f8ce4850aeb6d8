// The character classes of the tokenizer's split patterns. The ranges are generated; the classes do not overlap, and
// what is in no range is `other` (punctuation, symbols, unassigned, controls).
#pragma once

#include <cstddef>
#include <cstdint>

namespace switchyard {

enum class CharClass : uint8_t {
  other,
  upper,     // Lu, Lt
  lower,     // Ll
  caseless,  // Lm, Lo
  mark,      // M: not a letter, though the o200k pattern lets it stand among letters
  number,    // N
  space,     // White_Space
};

struct CharRange {
  uint32_t start, end;  // both included
  CharClass type;
};

extern const CharRange kCharRanges[];  // ascending
extern const size_t kCharRangeCount;

}  // namespace switchyard
