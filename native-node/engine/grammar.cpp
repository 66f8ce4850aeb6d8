#include "grammar.h"

#include <algorithm>
#include <string>

namespace switchyard {
namespace {

constexpr size_t kSetBytes = 32;
constexpr size_t kMostDepth = 2048;    // places of one stack
constexpr size_t kMostStacks = 256;    // parses at once
constexpr size_t kMostSteps = 20'000;  // between two bytes

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

// Which rules may be the empty text.
std::vector<char> Grammar::nullable_rules() const {
  std::vector<char> nullable(rules_.size());
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t rule = 0; rule < rules_.size(); ++rule) {
      for (uint32_t place : rules_[rule]) {
        if (nullable[rule]) break;
        while (symbols_[place] <= kFirstRule && nullable[size_t(kFirstRule - symbols_[place])]) ++place;
        if (symbols_[place] == kEndOfAlternative) nullable[rule] = changed = true;
      }
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

GrammarState::GrammarState(const Grammar& grammar) : grammar_(&grammar) {
  for (const uint32_t place : grammar.alternatives(0)) expand({place});
}

// Follows rules until a byte is waited for, or the text may end.
void GrammarState::expand(Stack stack) {
  std::vector<Stack> open;
  open.push_back(std::move(stack));
  while (!open.empty() && !is_lost_) {
    Stack at = std::move(open.back());
    open.pop_back();
    is_lost_ = ++steps_ > kMostSteps || at.size() > kMostDepth || stacks_.size() > kMostStacks;
    if (at.empty()) {
      may_end_ = true;
      continue;
    }
    const int32_t symbol = grammar_->symbol(at.back());
    if (symbol >= 0) {
      if (std::find(stacks_.begin(), stacks_.end(), at) == stacks_.end()) stacks_.push_back(std::move(at));
      continue;
    }
    if (symbol == Grammar::kEndOfAlternative) {
      at.pop_back();
      open.push_back(std::move(at));
      continue;
    }
    // Where it goes on behind the rule: nowhere, if the rule stands last.
    if (grammar_->symbol(++at.back()) == Grammar::kEndOfAlternative) at.pop_back();
    for (const uint32_t place : grammar_->alternatives(Grammar::kFirstRule - symbol)) {
      open.push_back(at);
      open.back().push_back(place);
    }
  }
}

bool GrammarState::advance(uint8_t byte) {
  if (is_lost_) return true;
  std::vector<Stack> before;
  before.swap(stacks_);
  may_end_ = false;
  steps_ = 0;
  for (Stack& stack : before) {
    if (!grammar_->byte_set(grammar_->symbol(stack.back())).test(byte)) continue;
    ++stack.back();
    expand(std::move(stack));
  }
  return is_lost_ || may_end_ || !stacks_.empty();
}

bool GrammarState::advance(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [this](char byte) { return advance(uint8_t(byte)); });
}

ByteSet GrammarState::next() const {
  if (is_lost_) return ByteSet().set();
  ByteSet set;
  for (const Stack& stack : stacks_) set |= grammar_->byte_set(grammar_->symbol(stack.back()));
  return set;
}

}  // namespace switchyard
