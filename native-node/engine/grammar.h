// A context-free grammar over bytes, and where a text stands in it: which byte may come next, and whether it may end here.
// All parses are followed at once. One is a stack of places in the grammar, the innermost on top, which always waits for a
// byte; a rule that stands last in its alternative leaves nothing on the stack, so that a list as long as it likes, written
// as `list := item list | `, takes no more of it than its first item.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "status.h"

namespace switchyard {

using ByteSet = std::bitset<256>;

// Immutable; rule 0 is what the whole text must be.
class Grammar {
 public:
  // Symbols, rule after rule: >= 0 a byte set, kEndOfAlternative, kEndOfRule behind a rule's last alternative, and from
  // kFirstRule down a rule. An alternative without symbols is the empty text.
  static constexpr int32_t kEndOfAlternative = -1, kEndOfRule = -2, kFirstRule = -3;
  static constexpr size_t kMostSymbols = size_t(1) << 20;

  // `byte_sets`: 32 bytes each, byte b is in it where bit b & 7 of byte b >> 3 is set. invalid_argument: not of this form, or
  // a rule that begins with itself, which could never be followed.
  static Status create(std::vector<int32_t> symbols, const std::vector<uint8_t>& byte_sets,
                       std::shared_ptr<const Grammar>* out);

  int32_t symbol(uint32_t place) const { return symbols_[place]; }
  const ByteSet& byte_set(int32_t index) const { return byte_sets_[size_t(index)]; }
  // Places of the first symbols of a rule's alternatives.
  const std::vector<uint32_t>& alternatives(int32_t rule) const { return rules_[size_t(rule)]; }

 private:
  Grammar() = default;
  Status read_rules();
  Status check_left_recursion() const;
  std::vector<char> nullable_rules() const;

  std::vector<int32_t> symbols_;
  std::vector<ByteSet> byte_sets_;
  std::vector<std::vector<uint32_t>> rules_;
};

// Cheap to copy as long as the grammar is nearly unambiguous.
class GrammarState {
 public:
  // `grammar` must live as long.
  explicit GrammarState(const Grammar& grammar);

  // False: no text goes on like that; the state is then of no more use.
  bool advance(uint8_t byte);
  bool advance(std::string_view bytes);

  ByteSet next() const;
  bool may_end() const { return may_end_; }
  // The text is too deep or too ambiguous to be followed: from now on anything goes.
  bool is_lost() const { return is_lost_; }

 private:
  using Stack = std::vector<uint32_t>;
  void expand(Stack stack);

  const Grammar* grammar_;
  std::vector<Stack> stacks_;
  size_t steps_ = 0;  // of the present byte
  bool may_end_ = false, is_lost_ = false;
};

}  // namespace switchyard
