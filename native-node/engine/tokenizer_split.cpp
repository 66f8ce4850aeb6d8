#include "tokenizer_split.h"

#include <algorithm>
#include <cstdint>

#include "unicode_tables.h"

namespace switchyard {
namespace {

constexpr std::string_view kO200kRegex =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kCl100kRegex =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kGpt2Regex =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

constexpr uint32_t bit(CharClass type) { return 1u << static_cast<unsigned>(type); }
constexpr uint32_t kLetter = bit(CharClass::upper) | bit(CharClass::lower) | bit(CharClass::caseless);
// The two overlapping sets of the o200k pattern: [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and [\p{Ll}\p{Lm}\p{Lo}\p{M}].
constexpr uint32_t kBoth = bit(CharClass::caseless) | bit(CharClass::mark);
constexpr uint32_t kUpperSet = bit(CharClass::upper) | kBoth;
constexpr uint32_t kLowerSet = bit(CharClass::lower) | kBoth;
constexpr uint32_t kNumber = bit(CharClass::number);
constexpr uint32_t kSpace = bit(CharClass::space);
constexpr uint32_t kSymbol = bit(CharClass::other) | bit(CharClass::mark);  // [^\s\p{L}\p{N}]

// The class of every code point, spread out once from the ranges: 1.1 MB, one load a character. Never freed: exit() ends
// statics while an engine's thread may still encode.
const CharClass* class_table() {
  static const CharClass* const table = [] {
    auto* classes = new CharClass[0x110000]();
    for (size_t i = 0; i < kCharRangeCount; i++) {
      const CharRange& range = kCharRanges[i];
      std::fill(classes + range.start, classes + range.end + 1, range.type);
    }
    return classes;
  }();
  return table;
}

class Splitter {
 public:
  explicit Splitter(std::string_view text)
      : text_(reinterpret_cast<const unsigned char*>(text.data())), size_(text.size()), classes_(class_table()) {}

  size_t o200k(size_t at) const {
    const Char first = char_at(at);
    const bool may_lead = !(first.set & (kLetter | kNumber)) && !is_newline(at);
    const size_t rest = at + first.length;
    size_t end = 0;
    if (may_lead) end = lower_word(rest);
    if (end == 0) end = lower_word(at);
    if (end == 0 && may_lead) end = upper_word(rest);
    if (end == 0) end = upper_word(at);
    if (end != 0) return end;
    if (first.set & kNumber) return run_of(kNumber, at, 3);
    if ((end = symbols(at)) != 0) {
      while (end < size_ && (is_newline(end) || text_[end] == '/')) end++;
      return end;
    }
    return spaces(at, true);
  }

  size_t cl100k(size_t at) const {
    size_t end = contraction(at, true);
    if (end != at) return end;
    const Char first = char_at(at);
    if (first.set & kLetter) return run(kLetter, at);
    if (first.set & kNumber) return run_of(kNumber, at, 3);
    const size_t rest = at + first.length;
    if (!is_newline(at) && (end = run(kLetter, rest)) != rest) return end;
    if ((end = symbols(at)) != 0) {
      while (end < size_ && is_newline(end)) end++;
      return end;
    }
    return spaces(at, true);
  }

  size_t gpt2(size_t at) const {
    size_t end = contraction(at, false);
    if (end != at) return end;
    const size_t start = text_[at] == ' ' ? at + 1 : at;
    if ((end = run(kLetter, start)) != start) return end;
    if ((end = run(kNumber, start)) != start) return end;
    if ((end = symbols(at)) != 0) return end;
    return spaces(at, false);
  }

 private:
  struct Char {
    uint32_t set = 0;  // one bit, of its class; 0 at the end of the text, which is in no set
    uint32_t length = 0;
  };

  Char char_at(size_t at) const {
    if (at >= size_) return {};
    const unsigned char* p = text_ + at;
    const uint32_t lead = p[0];
    if (lead < 0x80) return {bit(classes_[lead]), 1};
    const size_t left = size_ - at;
    const auto tail = [p](size_t i) { return static_cast<uint32_t>(p[i] ^ 0x80); };  // < 0x40 when a continuation
    if (lead >= 0xC2 && lead < 0xE0 && left >= 2 && tail(1) < 0x40) {
      return {bit(classes_[(lead & 0x1F) << 6 | tail(1)]), 2};
    }
    if (lead >= 0xE0 && lead < 0xF0 && left >= 3 && tail(1) < 0x40 && tail(2) < 0x40) {
      const uint32_t point = (lead & 0x0F) << 12 | tail(1) << 6 | tail(2);
      if (point >= 0x800 && (point < 0xD800 || point > 0xDFFF)) return {bit(classes_[point]), 3};
    }
    if (lead >= 0xF0 && lead < 0xF5 && left >= 4 && tail(1) < 0x40 && tail(2) < 0x40 && tail(3) < 0x40) {
      const uint32_t point = (lead & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3);
      if (point >= 0x10000 && point <= 0x10FFFF) return {bit(classes_[point]), 4};
    }
    return {bit(CharClass::other), 1};
  }

  bool is_newline(size_t at) const { return text_[at] == '\r' || text_[at] == '\n'; }

  size_t run(uint32_t set, size_t at) const {
    for (Char c = char_at(at); c.set & set; c = char_at(at)) at += c.length;
    return at;
  }

  size_t run_of(uint32_t set, size_t at, int most) const {
    for (Char c = char_at(at); (c.set & set) && most > 0; c = char_at(at), most--) at += c.length;
    return at;
  }

  // U*L+ and an optional contraction, from `at`; 0 when it does not match. U* first takes the whole run of upper-set
  // characters. If no lower-case letter follows, it gives back characters until L+ has one: the last one that is in both
  // sets, which L+ cannot extend since only upper-case follows it. What is given back is all upper-case, so the next
  // piece takes it whole and no character is looked at more than a few times.
  size_t lower_word(size_t at) const {
    size_t after_both = 0;
    Char c = char_at(at);
    while (c.set & kUpperSet) {
      at += c.length;
      if (c.set & kBoth) after_both = at;
      c = char_at(at);
    }
    if (c.set & bit(CharClass::lower)) return contraction(run(kLowerSet, at), true);
    return after_both == 0 ? 0 : contraction(after_both, true);
  }

  // U+L* and an optional contraction.
  size_t upper_word(size_t at) const {
    const size_t end = run(kUpperSet, at);
    return end == at ? 0 : contraction(run(kLowerSet, end), true);
  }

  // The end of a 's, 't, 're, 've, 'm, 'll or 'd at `at`, or `at` itself.
  size_t contraction(size_t at, bool any_case) const {
    if (size_ - at < 2 || text_[at] != '\'') return at;
    const uint32_t fold = any_case ? 0x20 : 0;
    const uint32_t first = text_[at + 1] | fold;
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    if (size_ - at < 3) return at;
    // Caseless matching in Unicode has one more letter here: U+017F, the long s.
    if (any_case && text_[at + 1] == 0xC5 && text_[at + 2] == 0xBF) return at + 3;
    const uint32_t second = text_[at + 2] | fold;
    if ((first == 'r' || first == 'v') && second == 'e') return at + 3;
    return first == 'l' && second == 'l' ? at + 3 : at;
  }

  // " ?[^\s\p{L}\p{N}]+", or 0.
  size_t symbols(size_t at) const {
    const size_t start = text_[at] == ' ' ? at + 1 : at;
    const size_t end = run(kSymbol, start);
    return end == start ? 0 : end;
  }

  // The three white space alternatives over one run: up to its last line end (\s*[\r\n]+); else up to but not including
  // its last character when text follows (\s+(?!\S)), so that the word can have it; else all of it.
  size_t spaces(size_t at, bool lines) const {
    const size_t start = at;
    size_t last = at, after_newline = 0;
    for (Char c = char_at(at); c.set & kSpace; c = char_at(at)) {
      last = at;
      at += c.length;
      if (is_newline(last)) after_newline = at;
    }
    if (lines && after_newline != 0) return after_newline;
    return at == size_ || last == start ? at : last;
  }

  const unsigned char* text_;
  size_t size_;
  const CharClass* classes_;
};

}  // namespace

bool find_split_pattern(std::string_view regex, SplitPattern* out) {
  if (regex == kO200kRegex) {
    *out = SplitPattern::o200k;
  } else if (regex == kCl100kRegex) {
    *out = SplitPattern::cl100k;
  } else if (regex == kGpt2Regex) {
    *out = SplitPattern::gpt2;
  } else {
    return false;
  }
  return true;
}

size_t piece_end(SplitPattern pattern, std::string_view text, size_t at) {
  const Splitter splitter(text);
  switch (pattern) {
    case SplitPattern::o200k: return splitter.o200k(at);
    case SplitPattern::cl100k: return splitter.cl100k(at);
    case SplitPattern::gpt2: return splitter.gpt2(at);
  }
  return text.size();
}

}  // namespace switchyard
