#include "soak_grammar.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

namespace switchyard {
namespace {

using Sequence = SoakGrammar::Sequence;
using Alternatives = SoakGrammar::Alternatives;

// From the top down: where each rule can end that begins somewhere, once for each pair. What lies before a place fits already,
// so a text that runs out while a byte is waited for is a beginning.
class Reading {
 public:
  Reading(const std::vector<Alternatives>& rules, std::string_view text) : rules_(rules), text_(text) {}

  Fit fit() {
    const std::vector<size_t>& ends = ends_of(0, 0);
    if (std::binary_search(ends.begin(), ends.end(), text_.size())) return Fit::whole;
    return ran_out_ ? Fit::beginning : Fit::none;
  }

 private:
  static void sort(std::vector<size_t>* places) {
    std::sort(places->begin(), places->end());
    places->erase(std::unique(places->begin(), places->end()), places->end());
  }
  const std::vector<size_t>& ends_of(int rule, size_t begin) {
    const auto [found, is_new] = known_.try_emplace({rule, begin});
    std::vector<size_t>& ends = found->second;
    if (!is_new) return ends;
    for (const Sequence& sequence : rules_[size_t(rule)]) {
      const std::vector<size_t> these = ends_of(sequence, begin);
      ends.insert(ends.end(), these.begin(), these.end());
    }
    sort(&ends);
    return ends;
  }
  std::vector<size_t> ends_of(const Sequence& sequence, size_t begin) {
    std::vector<size_t> here{begin};
    for (const auto& [bytes, rule] : sequence) {
      std::vector<size_t> next;
      for (const size_t place : here) {
        if (rule >= 0) {
          const std::vector<size_t>& ends = ends_of(rule, place);
          next.insert(next.end(), ends.begin(), ends.end());
        } else if (place == text_.size()) {
          ran_out_ = true;
        } else if (bytes.test(uint8_t(text_[place]))) {
          next.push_back(place + 1);
        }
      }
      sort(&next);
      here = std::move(next);
    }
    return here;
  }

  const std::vector<Alternatives>& rules_;
  const std::string_view text_;
  std::map<std::pair<int, size_t>, std::vector<size_t>> known_;
  bool ran_out_ = false;
};

Sequence rule_of(int rule) { return {{.rule = rule}}; }

Sequence either(Sequence left, const Sequence& right) {
  left[0].bytes |= right[0].bytes;
  return left;
}

class Maker {
 public:
  explicit Maker(std::mt19937* random) : random_(*random) {}

  std::shared_ptr<const SoakGrammar> make() {
    const int whole = grammar_->reserve();
    grammar_->define(whole, {up_to(3) == 0 ? object() : member()});
    return grammar_;
  }

 private:
  size_t up_to(size_t most) { return random_() % (most + 1); }

  Sequence member() {
    switch (up_to(3)) {
      case 0: return json();
      case 1: return texts();
      case 2: return pattern();
      default: return grammar_->string_of(characters());
    }
  }

  // Members in their order, the last ones perhaps left out.
  Sequence object() {
    Sequence rest = grammar_->add({text("}")});
    for (size_t i = 1 + up_to(3); i > 0; --i) {
      const Sequence quoted = up_to(1) == 0 ? text("\"") + pattern() + text("\"") : member();
      const Sequence one = text("\"" + word() + "\":") + space() + quoted + rest;
      rest = i == 1 ? one : grammar_->add({text(",") + one, text("}")});
    }
    return text("{") + rest;
  }

  Sequence json() {
    const int value = grammar_->reserve();
    const Sequence string = grammar_->string_of(character());
    const Sequence digits = grammar_->repeat(range('0', '9'), 0, 1 + up_to(6));
    const Sequence number = grammar_->add({text("-") + range('1', '9') + digits, range('1', '9') + digits, text("0")});
    const Sequence pair = grammar_->add({string + space() + text(":") + space() + rule_of(value)});
    grammar_->define(value, {text("{") + space() + list_of(pair) + text("}"),
                             text("[") + space() + list_of(rule_of(value)) + text("]"), string, number, text("true"),
                             text("false"), text("null")});
    return up_to(1) == 0 ? rule_of(value) : text("[") + rule_of(value) + text(",") + rule_of(value) + text("]");
  }
  Sequence list_of(const Sequence& item) {
    const int more = grammar_->reserve();
    grammar_->define(more, {text(",") + space() + item + space() + rule_of(more), {}});
    return grammar_->add({item + space() + rule_of(more), {}});
  }
  Sequence space() { return grammar_->add({{}, text(" "), text("\n") + grammar_->repeat(text(" "), 0, 4)}); }

  // Many of which begin alike: all that fit are followed at once.
  Sequence texts() {
    Alternatives all;
    for (size_t i = 2 + up_to(60); i > 0; --i) {
      std::string said = all.empty() || up_to(2) > 0 ? word() : last_;
      for (size_t more = up_to(5); more > 0; --more) said += (up_to(1) == 0 ? " " : "_") + word();
      last_ = said;
      all.push_back(text(said));
    }
    return text("\"") + grammar_->add(std::move(all)) + text("\"");
  }
  std::string word() {
    static const char* const kSyllables[] = {"a", "be", "con",  "de",  "ter", "n", "ü",
                                             "日", "ж", "tion", "the", "o",   "S", "😀"};
    std::string said;
    for (size_t i = 1 + up_to(4); i > 0; --i) said += kSyllables[up_to(std::size(kSyllables) - 1)];
    return said;
  }

  // As of a regular expression: classes, so many of each, with a choice of what comes behind.
  Sequence pattern() {
    Sequence all = {};
    for (size_t i = 1 + up_to(3); i > 0; --i) {
      const Sequence one = character_class();
      const size_t least = up_to(4);
      Sequence some = grammar_->repeat(one, least, up_to(2) == 0 ? 0 : least + 1 + up_to(12));
      if (up_to(2) == 0) some = grammar_->add({some, text("-") + one, text(word())});
      all = all + some + (i > 1 && up_to(1) == 0 ? text(up_to(1) == 0 ? "-" : ". ") : Sequence{});
    }
    return all;
  }
  Sequence character_class() {
    switch (up_to(4)) {
      case 0: return range('a', 'z');
      case 1: return either(either(range('a', 'z'), range('A', 'Z')), text(" "));
      case 2: return range('0', '9');
      case 3: return either(range('0', '9'), range('a', 'f'));
      default: return characters();
    }
  }

  // One of some thousand characters, or of all.
  Sequence characters() {
    const Sequence tail = range(0x80, 0xbf);
    switch (up_to(3)) {
      case 0: return grammar_->add({range(0xd0, 0xd1) + tail});                            // Cyrillic
      case 1: return grammar_->add({range(0xe4, 0xe9) + tail + tail});                     // Han
      case 2: return grammar_->add({text("\xf0\x9f") + range(0x98, 0x99) + tail});         // emoji
      default: return character();
    }
  }
  // https://www.rfc-editor.org/rfc/rfc3629#section-4, without quote, backslash and control characters.
  Sequence character() {
    const Sequence tail = range(0x80, 0xbf);
    return grammar_->add({either(either(range(0x20, 0x21), range(0x23, 0x5b)), range(0x5d, 0x7f)),
                          range(0xc2, 0xdf) + tail,
                          text("\xe0") + range(0xa0, 0xbf) + tail,
                          either(range(0xe1, 0xec), range(0xee, 0xef)) + tail + tail,
                          text("\xed") + range(0x80, 0x9f) + tail,
                          text("\xf0") + range(0x90, 0xbf) + tail + tail,
                          range(0xf1, 0xf3) + tail + tail + tail,
                          text("\xf4") + range(0x80, 0x8f) + tail + tail});
  }

  std::mt19937& random_;
  const std::shared_ptr<SoakGrammar> grammar_ = std::make_shared<SoakGrammar>();
  std::string last_;
};

}  // namespace

SoakGrammar::Sequence SoakGrammar::add(Alternatives alternatives) {
  rules_.push_back(std::move(alternatives));
  return rule_of(int(rules_.size()) - 1);
}

SoakGrammar::Sequence SoakGrammar::repeat(const Sequence& what, size_t least, size_t most) {
  Sequence rest;
  if (most == 0) {
    const int more = reserve();
    define(more, {what + rule_of(more), {}});
    rest = rule_of(more);
  }
  for (size_t i = least; i < most; ++i) rest = add({what + rest, {}});
  for (size_t i = 0; i < least; ++i) rest = what + rest;
  return rest;
}

SoakGrammar::Sequence SoakGrammar::string_of(const Sequence& character) {
  const Sequence hex = either(range('0', '9'), range('a', 'f'));
  const Sequence escaped = add({text("n"), text("\""), text("\\"), text("u00") + hex + hex});
  const Sequence one = add({character, text("\\") + escaped});
  return text("\"") + repeat(one, 0, 0) + text("\"");
}

std::shared_ptr<const Grammar> SoakGrammar::build() const {
  std::vector<int32_t> symbols;
  std::vector<uint8_t> sets;
  for (const Alternatives& alternatives : rules_) {
    for (const Sequence& sequence : alternatives) {
      for (const auto& [bytes, rule] : sequence) {
        symbols.push_back(rule >= 0 ? Grammar::kFirstRule - rule : int32_t(sets.size() / 32));
        if (rule >= 0) continue;
        sets.resize(sets.size() + 32);
        uint8_t* const set = &sets[sets.size() - 32];
        for (size_t byte = 0; byte < 256; ++byte) set[byte / 8] |= uint8_t(bytes[byte] << (byte % 8));
      }
      symbols.push_back(Grammar::kEndOfAlternative);
    }
    symbols.push_back(Grammar::kEndOfRule);
  }
  std::shared_ptr<const Grammar> grammar;
  if (const Status status = Grammar::create(std::move(symbols), sets, &grammar); !status.ok()) {
    std::fprintf(stderr, "soak: %s\n", status.message.c_str());
    std::exit(2);
  }
  return grammar;
}

Fit SoakGrammar::fit(std::string_view text) const { return Reading(rules_, text).fit(); }

SoakGrammar::Sequence text(std::string_view bytes) {
  Sequence sequence;
  for (const char byte : bytes) sequence.emplace_back().bytes.set(uint8_t(byte));
  return sequence;
}

SoakGrammar::Sequence range(unsigned first, unsigned last) {
  SoakGrammar::Symbol symbol;
  for (unsigned byte = first; byte <= last; ++byte) symbol.bytes.set(byte);
  return {symbol};
}

SoakGrammar::Sequence operator+(SoakGrammar::Sequence left, const SoakGrammar::Sequence& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

std::shared_ptr<const SoakGrammar> random_grammar(std::mt19937* random) { return Maker(random).make(); }

std::shared_ptr<const SoakGrammar> one_of(const std::vector<std::string>& texts) {
  const auto grammar = std::make_shared<SoakGrammar>();
  Alternatives all;
  for (const std::string& one : texts) all.push_back(text(one));
  grammar->add(std::move(all));
  return grammar;
}

}  // namespace switchyard
