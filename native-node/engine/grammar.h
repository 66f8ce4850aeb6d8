// A context-free grammar over bytes, and where a text stands in it: which byte may come next, and whether it may end here.
// All parses are followed at once. One is a stack of places in the grammar, the innermost on top, which always waits for a
// byte; what two stacks have in common below is there once. A rule that stands last in its alternative leaves nothing on the stack, so that a list as long as it likes, written
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

class GrammarState {
 public:
  // `grammar` must live as long.
  explicit GrammarState(const Grammar& grammar);

  // False: no text goes on like that; the state is then of no more use.
  bool advance(uint8_t byte);
  bool advance(std::string_view bytes);

  // How many of these bytes could come next, one after another; the state stays where it is. `steps` is what it may cost and
  // goes down by what it did: a text that is not followed to its end for the lack of them ends there.
  size_t reach(std::string_view bytes, size_t* steps);

  ByteSet next() const;
  bool may_end() const { return may_end_ || is_lost_; }
  // The text is too deep or too ambiguous to be followed: from now on anything goes.
  bool is_lost() const { return is_lost_; }

 private:
  // The uppermost place of a stack and the stack below it. Equal ones are one, and what is below is older.
  struct Stack {
    uint32_t place, below;
    uint64_t visited;  // by the byte of this number
  };
  struct Reached {
    bool may_end = false, is_lost = false;
    size_t steps = 0;
  };
  using Stacks = std::vector<uint32_t>;

  uint32_t stack(uint32_t place, uint32_t below);
  size_t slot_of(uint32_t place, uint32_t below) const;
  void rebuild_slots();
  Reached read(const Stacks& from, uint8_t byte, Stacks* to);
  Reached expand(Stacks* to);
  void push(uint32_t stack, Reached* reached);
  void forget_from(size_t count);
  void compact();

  const Grammar* grammar_;
  std::vector<Stack> stacks_;
  std::vector<uint32_t> slots_;  // where in stacks_, plus 1; open addressing, a power of two
  Stacks heads_;                 // wait for a byte
  Stacks open_, spare_[2];       // place for expand() and for what is only tried
  uint64_t byte_ = 0;            // number of the one that is being read
  size_t compact_at_ = 0;
  bool may_end_ = false, is_lost_ = false;
};

}  // namespace switchyard
