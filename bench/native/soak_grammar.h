// Grammars that the soak makes, and its own check of texts against them: another notation and another way of reading than the
// engine's, so that a fault of one is not a fault of both.
#pragma once

#include <bitset>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "grammar.h"

namespace switchyard {

enum class Fit { none, beginning, whole };  // beginning: some text of the grammar goes on from here

// A context-free grammar over bytes; no rule begins with itself, and each comes to an end.
class SoakGrammar {
 public:
  struct Symbol {
    std::bitset<256> bytes = {};  // one of these,
    int rule = -1;                // or this rule
  };
  using Sequence = std::vector<Symbol>;
  using Alternatives = std::vector<Sequence>;

  int reserve() { return rules_.emplace_back(), int(rules_.size()) - 1; }
  void define(int rule, Alternatives alternatives) { rules_[size_t(rule)] = std::move(alternatives); }
  Sequence add(Alternatives alternatives);  // a new rule, to stand in others
  Sequence repeat(const Sequence& what, size_t least, size_t most);  // most 0: without an end
  Sequence string_of(const Sequence& character);                     // in quotes, with escapes

  std::shared_ptr<const Grammar> build() const;  // rule 0 is the whole
  Fit fit(std::string_view text) const;

 private:
  std::vector<Alternatives> rules_;
};

SoakGrammar::Sequence text(std::string_view bytes);
SoakGrammar::Sequence range(unsigned first, unsigned last);
SoakGrammar::Sequence operator+(SoakGrammar::Sequence left, const SoakGrammar::Sequence& right);

// JSON of any depth, texts of which some are long, a pattern of classes, characters of many bytes, or an object of such members.
std::shared_ptr<const SoakGrammar> random_grammar(std::mt19937* random);
std::shared_ptr<const SoakGrammar> one_of(const std::vector<std::string>& texts);

}  // namespace switchyard
