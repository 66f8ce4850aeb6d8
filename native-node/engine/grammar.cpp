#include "grammar.h"

#include <algorithm>
#include <bit>
#include <string>

namespace switchyard {
namespace {

constexpr size_t kSetBytes = 32;
constexpr size_t kMostStacks = size_t(1) << 16;  // that are open at once, those below others counted too
constexpr size_t kMostSteps = 16'384;            // between two bytes
constexpr size_t kLeastSlots = 64, kLeastCompacted = 1024;
constexpr uint32_t kBottom = UINT32_MAX;  // below a stack's last place

Status malformed(const std::string& what) { return Status::error(Code::invalid_argument, "grammar: " + what); }

}  // namespace

Status Grammar::create(std::vector<int32_t> symbols, const std::vector<uint8_t>& byte_sets,
                       std::shared_ptr<const Grammar>* out) {
  if (symbols.size() > kMostSymbols) return malformed("more than " + std::to_string(kMostSymbols) + " symbols");
  if (byte_sets.size() % kSetBytes != 0) return malformed("a byte set has 32 bytes");
  const std::shared_ptr<Grammar> grammar(new Grammar);
  grammar->symbols_ = std::move(symbols);
  grammar->byte_sets_.resize(byte_sets.size() / kSetBytes);
  for (size_t i = 0; i < byte_sets.size() * 8; ++i) {
    if (byte_sets[i / 8] >> (i % 8) & 1) grammar->byte_sets_[i / 256].set(i % 256);
  }
  if (Status status = grammar->read_rules(); !status.ok()) return status;
  if (Status status = grammar->check_left_recursion(); !status.ok()) return status;
  *out = grammar;
  return {};
}

Status Grammar::read_rules() {
  bool in_rule = false, in_alternative = false;
  for (size_t i = 0; i < symbols_.size(); ++i) {
    const int32_t symbol = symbols_[i];
    if (symbol == kEndOfRule) {
      if (!in_rule || in_alternative) return malformed("a rule ends behind an alternative");
      in_rule = false;
      continue;
    }
    if (!in_rule) rules_.emplace_back();
    in_rule = true;
    if (!in_alternative) rules_.back().push_back(uint32_t(i));
    in_alternative = symbol != kEndOfAlternative;
    if (symbol >= 0 && size_t(symbol) >= byte_sets_.size()) return malformed("there is no such byte set");
  }
  if (in_rule || rules_.empty()) return malformed("the last rule has no end");
  for (const int32_t symbol : symbols_) {
    if (symbol <= kFirstRule && size_t(int64_t(kFirstRule) - symbol) >= rules_.size())
      return malformed("there is no such rule");
  }
  return {};
}

// Which rules may be the empty text. An alternative without a byte set waits until all of its rules are known to: linear,
// however they are ordered.
std::vector<char> Grammar::nullable_rules() const {
  struct Alternative {
    size_t rule, missing;
  };
  std::vector<Alternative> alternatives;
  std::vector<std::vector<size_t>> waiting(rules_.size());  // for a rule, alternatives
  std::vector<char> nullable(rules_.size());
  std::vector<size_t> found;
  const auto add = [&](size_t rule) {
    if (!nullable[rule]) found.push_back(rule);
    nullable[rule] = true;
  };
  for (size_t rule = 0; rule < rules_.size(); ++rule) {
    for (const uint32_t begin : rules_[rule]) {
      uint32_t end = begin;
      while (symbols_[end] <= kFirstRule) ++end;
      if (symbols_[end] != kEndOfAlternative) continue;
      for (uint32_t place = begin; place < end; ++place) {
        waiting[size_t(kFirstRule - symbols_[place])].push_back(alternatives.size());
      }
      alternatives.push_back({rule, end - begin});
      if (begin == end) add(rule);
    }
  }
  while (!found.empty()) {
    const size_t rule = found.back();
    found.pop_back();
    for (const size_t index : waiting[rule]) {
      if (--alternatives[index].missing == 0) add(alternatives[index].rule);
    }
  }
  return nullable;
}

// Depth first over what a rule may begin with, without recursion: the grammar is a caller's.
Status Grammar::check_left_recursion() const {
  const std::vector<char> nullable = nullable_rules();
  std::vector<std::vector<uint32_t>> first(rules_.size());
  for (size_t rule = 0; rule < rules_.size(); ++rule) {
    for (uint32_t place : rules_[rule]) {
      for (; symbols_[place] <= kFirstRule; ++place) {
        first[rule].push_back(uint32_t(kFirstRule - symbols_[place]));
        if (!nullable[first[rule].back()]) break;
      }
    }
  }
  enum : char { kNew, kOpen, kDone };
  std::vector<char> seen(rules_.size(), kNew);
  std::vector<std::pair<uint32_t, size_t>> path;
  for (uint32_t root = 0; root < rules_.size(); ++root) {
    if (seen[root] == kNew) path.emplace_back(root, 0), seen[root] = kOpen;
    while (!path.empty()) {
      auto& [rule, next] = path.back();
      if (next == first[rule].size()) {
        seen[rule] = kDone;
        path.pop_back();
        continue;
      }
      const uint32_t begun = first[rule][next++];
      if (seen[begun] == kOpen) return malformed("rule " + std::to_string(begun) + " begins with itself");
      if (seen[begun] == kNew) path.emplace_back(begun, 0), seen[begun] = kOpen;
    }
  }
  return {};
}

// ---- state

GrammarState::GrammarState(const Grammar& grammar) : grammar_(&grammar) {
  rebuild_slots();
  Reached begun;
  ++byte_;
  for (const uint32_t place : grammar.alternatives(0)) push(stack(place, kBottom), &begun);
  const size_t steps = begun.steps;
  begun = expand(&heads_);
  may_end_ = begun.may_end;
  is_lost_ = begun.is_lost || steps > kMostSteps;
  compact();
}

size_t GrammarState::slot_of(uint32_t place, uint32_t below) const {
  const size_t mask = slots_.size() - 1;
  uint64_t hash = (uint64_t(place) << 32 | below) * 0x9e3779b97f4a7c15ull;
  size_t slot = size_t(hash >> 32) & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const Stack& found = stacks_[slots_[slot] - 1];
    if (found.place == place && found.below == below) break;
  }
  return slot;
}

uint32_t GrammarState::stack(uint32_t place, uint32_t below) {
  size_t slot = slot_of(place, below);
  if (slots_[slot] != 0) return slots_[slot] - 1;
  stacks_.push_back({place, below, 0});
  slots_[slot] = uint32_t(stacks_.size());
  if (stacks_.size() * 2 > slots_.size()) rebuild_slots();
  return uint32_t(stacks_.size() - 1);
}

void GrammarState::rebuild_slots() {
  slots_.assign(std::bit_ceil(std::max(kLeastSlots, stacks_.size() * 4)), 0);
  for (size_t i = 0; i < stacks_.size(); ++i) slots_[slot_of(stacks_[i].place, stacks_[i].below)] = uint32_t(i + 1);
}

// The last first: so the others are found as before them.
void GrammarState::forget_from(size_t count) {
  while (stacks_.size() > count) {
    slots_[slot_of(stacks_.back().place, stacks_.back().below)] = 0;
    stacks_.pop_back();
  }
}

// Keeps what some head stands on.
void GrammarState::compact() {
  std::vector<uint32_t> moved(stacks_.size(), 0);
  for (uint32_t head : heads_) {
    for (; head != kBottom && moved[head] == 0; head = stacks_[head].below) moved[head] = 1;
  }
  uint32_t kept = 0;
  for (size_t i = 0; i < stacks_.size(); ++i) {
    if (moved[i] == 0) continue;
    Stack stack = stacks_[i];
    if (stack.below != kBottom) stack.below = moved[stack.below];
    stacks_[kept] = stack;
    moved[i] = kept++;
  }
  stacks_.resize(kept);
  for (uint32_t& head : heads_) head = moved[head];
  rebuild_slots();
  is_lost_ |= kept > kMostStacks;
  compact_at_ = std::max(kLeastCompacted, size_t(kept) * 2);
}

void GrammarState::push(uint32_t stack, Reached* reached) {
  ++reached->steps;
  if (stack == kBottom) {
    reached->may_end = true;
  } else if (stacks_[stack].visited != byte_) {
    stacks_[stack].visited = byte_;
    open_.push_back(stack);
  }
}

// Follows rules from open_ until a byte is waited for, or the text may end.
GrammarState::Reached GrammarState::expand(Stacks* to) {
  Reached reached;
  while (!open_.empty()) {
    const uint32_t at = open_.back();
    open_.pop_back();
    const auto [place, below, visited] = stacks_[at];
    const int32_t symbol = grammar_->symbol(place);
    if (symbol >= 0) {
      to->push_back(at);
    } else if (symbol == Grammar::kEndOfAlternative) {
      push(below, &reached);
    } else {
      // Where it goes on behind the rule: nowhere new, if the rule stands last.
      const bool is_last = grammar_->symbol(place + 1) == Grammar::kEndOfAlternative;
      const uint32_t rest = is_last ? below : stack(place + 1, below);
      const std::vector<uint32_t>& alternatives = grammar_->alternatives(Grammar::kFirstRule - symbol);
      if (reached.steps + alternatives.size() > kMostSteps) reached.is_lost = true;
      if (reached.is_lost) break;
      for (const uint32_t alternative : alternatives) push(stack(alternative, rest), &reached);
    }
  }
  open_.clear();
  return reached;
}

GrammarState::Reached GrammarState::read(const Stacks& from, uint8_t byte, Stacks* to) {
  ++byte_;
  to->clear();
  Reached reached;
  for (const uint32_t head : from) {
    const auto [place, below, visited] = stacks_[head];
    if (grammar_->byte_set(grammar_->symbol(place)).test(byte)) push(stack(place + 1, below), &reached);
  }
  Reached expanded = expand(to);
  expanded.may_end |= reached.may_end;
  expanded.steps += from.size();
  return expanded;
}

bool GrammarState::advance(uint8_t byte) {
  if (is_lost_) return true;
  const Reached reached = read(heads_, byte, &spare_[0]);
  heads_.swap(spare_[0]);
  may_end_ = reached.may_end;
  is_lost_ = reached.is_lost;
  if (stacks_.size() > compact_at_) compact();
  return is_lost_ || may_end_ || !heads_.empty();
}

bool GrammarState::advance(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [this](char byte) { return advance(uint8_t(byte)); });
}

size_t GrammarState::reach(std::string_view bytes, size_t* steps) {
  if (is_lost_) return bytes.size();
  const size_t known = stacks_.size();
  const Stacks* from = &heads_;
  size_t reached = 0;
  while (reached < bytes.size() && *steps > 0) {
    Stacks* to = &spare_[reached % 2];
    const Reached read_to = read(*from, uint8_t(bytes[reached]), to);
    *steps -= std::min(*steps, read_to.steps + 1);
    from = to;
    if (read_to.is_lost) reached = bytes.size();
    else if (read_to.may_end || !to->empty()) ++reached;
    else break;
  }
  forget_from(known);
  return reached;
}

ByteSet GrammarState::next() const {
  if (is_lost_) return ByteSet().set();
  ByteSet set;
  for (const uint32_t head : heads_) set |= grammar_->byte_set(grammar_->symbol(stacks_[head].place));
  return set;
}

}  // namespace switchyard
