// Grammars over bytes: what they accept, that no text is followed for ever, and that a malformed one is refused.
#include "grammar.h"

#include <random>
#include <string>

#include "check.h"

using namespace switchyard;

namespace {

constexpr int32_t kAlt = Grammar::kEndOfAlternative, kRule = Grammar::kEndOfRule;
constexpr int32_t rule(int32_t index) { return Grammar::kFirstRule - index; }

// One set for each text.
std::vector<uint8_t> sets(const std::vector<std::string>& members) {
  std::vector<uint8_t> bytes(members.size() * 32);
  for (size_t i = 0; i < members.size(); ++i)
    for (const char c : members[i]) bytes[i * 32 + uint8_t(c) / 8] |= uint8_t(1 << (uint8_t(c) % 8));
  return bytes;
}

std::shared_ptr<const Grammar> make(std::vector<int32_t> symbols, const std::vector<std::string>& members) {
  std::shared_ptr<const Grammar> grammar;
  CHECK_OK(Grammar::create(std::move(symbols), sets(members), &grammar));
  return grammar;
}

bool accepts(const Grammar& grammar, const std::string& text) {
  GrammarState state(grammar);
  return state.advance(text) && state.may_end();
}

void check_refused(std::vector<int32_t> symbols, size_t set_bytes, const char* why) {
  std::shared_ptr<const Grammar> grammar;
  const Status status = Grammar::create(std::move(symbols), std::vector<uint8_t>(set_bytes), &grammar);
  CHECK(status.code == Code::invalid_argument);
  if (status.message.find(why) == std::string::npos) check_failed(__FILE__, __LINE__, status.message + " is not: " + why);
  CHECK(!grammar);
}

// value := '[' list ']' | 'x';  list := value rest | ;  rest := ',' value rest | ;
std::shared_ptr<const Grammar> nested() {
  return make({0, rule(1), 1, kAlt, 2, kAlt, kRule, rule(0), rule(2), kAlt, kAlt, kRule, 3, rule(0), rule(2), kAlt, kAlt, kRule},
              {"[", "]", "x", ","});
}

void test_acceptance() {
  const auto grammar = nested();
  for (const char* text : {"x", "[]", "[x]", "[x,x]", "[[],[x,[]]]"}) CHECK(accepts(*grammar, text));
  for (const char* text : {"", "[", "]", "[,x]", "[x,]", "xx", "[x x]", "[[]"}) CHECK(!accepts(*grammar, text));
  GrammarState state(*grammar);
  CHECK(!state.may_end());
  CHECK_EQ(state.next().count(), 2u);
  CHECK(state.advance("[x"));
  CHECK(state.next().test(','));
  CHECK(state.next().test(']'));
  CHECK_EQ(state.next().count(), 2u);
  CHECK(state.advance("]"));
  CHECK(state.may_end());
  CHECK(state.next().none());
  CHECK(!state.advance("x"));
}

void test_ambiguity() {
  // a, or ab, or a b*: several parses at once, each byte of which narrows them.
  const auto grammar = make({0, 1, 2, kAlt, 0, rule(1), kAlt, kRule, 1, rule(1), kAlt, kAlt, kRule}, {"a", "b", "c"});
  for (const char* text : {"a", "ab", "abc", "abb", "abbbb"}) CHECK(accepts(*grammar, text));
  for (const char* text : {"b", "ac", "abbc", "abcb"}) CHECK(!accepts(*grammar, text));
}

void test_long_lists_take_no_depth() {
  const auto grammar = make({0, rule(0), kAlt, kAlt, kRule}, {"ab"});
  GrammarState state(*grammar);
  for (int i = 0; i < 100'000; ++i) CHECK(state.advance(uint8_t('a' + i % 2)));
  CHECK(state.may_end());
  CHECK(!state.is_lost());
}

void test_what_is_too_deep_is_free() {
  const auto grammar = nested();
  GrammarState state(*grammar);
  for (int i = 0; i < 5000; ++i) CHECK(state.advance(uint8_t('[')));
  CHECK(!state.is_lost());
  CHECK(!state.may_end());
  for (int i = 0; i < 70'000; ++i) CHECK(state.advance(uint8_t('[')));
  CHECK(state.is_lost());
  CHECK(state.advance("anything"));
  CHECK_EQ(state.next().count(), 256u);
  CHECK(state.may_end());
  size_t steps = 1;
  CHECK_EQ(state.reach("anything", &steps), 8u);
}

void test_trying_changes_nothing() {
  const auto grammar = nested();
  GrammarState state(*grammar);
  CHECK(state.advance("[[x"));
  for (const auto& [text, reached] : std::vector<std::pair<std::string, size_t>>{
           {"]]", 2}, {"]]]", 2}, {",[[[[[[[x]]]]]]],x]]x", 20}, {"x", 0}, {",,", 1}, {"", 0}}) {
    for (int i = 0; i < 100; ++i) {
      size_t steps = 1000;
      CHECK_EQ(state.reach(text, &steps), reached);
      CHECK(text.empty() || steps < 1000);
    }
  }
  size_t steps = 5;
  CHECK(state.reach(",[[[[[[[x", &steps) < 5);
  CHECK_EQ(steps, 0u);
  CHECK_EQ(state.reach("]", &steps), 0u);
  CHECK(!state.may_end());
  CHECK(state.advance("]]"));
  CHECK(state.may_end());
}

// A thousand words at once, each of which goes on by itself: no more than their number.
void test_many_parses() {
  std::vector<int32_t> symbols;
  for (int i = 0; i < 1000; ++i)
    for (const int32_t symbol : {0, int32_t(1 + i % 2), rule(i + 1), kAlt, rule(i + 1), kAlt, kRule}) symbols.push_back(symbol);
  for (const int32_t symbol : {0, kAlt, kRule}) symbols.push_back(symbol);
  const auto grammar = make(symbols, {"a", "b", "c"});
  CHECK(accepts(*grammar, "ab" + std::string("abacab") + "a"));
  CHECK(!accepts(*grammar, "abb"));
  GrammarState state(*grammar);
  CHECK(!state.is_lost());
  CHECK_EQ(state.next().count(), 1u);
}

void test_explosions_end() {
  // Every rule is two of the next, each of which may be empty: 2^20 ways to read nothing.
  std::vector<int32_t> symbols;
  for (int i = 0; i < 20; ++i)
    for (const int32_t symbol : {rule(i + 1), rule(i + 1), kAlt, kAlt, kRule}) symbols.push_back(symbol);
  for (const int32_t symbol : {0, kAlt, kAlt, kRule}) symbols.push_back(symbol);
  const auto grammar = make(symbols, {"a"});
  GrammarState state(*grammar);
  CHECK(state.is_lost());
  CHECK(state.advance("aaaa"));
}

void test_malformed() {
  check_refused({}, 0, "no end");
  check_refused({0}, 32, "no end");
  check_refused({0, kAlt}, 32, "no end");
  check_refused({kRule}, 0, "behind an alternative");
  check_refused({0, kRule}, 32, "behind an alternative");
  check_refused({1, kAlt, kRule}, 32, "no such byte set");
  check_refused({0, kAlt, kRule}, 31, "32 bytes");
  check_refused({rule(1), kAlt, kRule}, 0, "no such rule");
  check_refused({INT32_MIN, kAlt, kRule}, 0, "no such rule");
  check_refused({rule(0), kAlt, kRule}, 0, "begins with itself");
  check_refused({rule(1), 0, kAlt, kRule, rule(2), rule(0), kAlt, kRule, kAlt, kRule}, 32, "begins with itself");
  check_refused(std::vector<int32_t>(Grammar::kMostSymbols + 1, kAlt), 0, "more than");
}

// Each rule may be empty because the next one may: known from the last to the first, and in no time that grows with the square.
void test_long_chain() {
  constexpr int32_t kRules = 200'000;
  std::vector<int32_t> symbols;
  for (int32_t i = 1; i < kRules; ++i) symbols.insert(symbols.end(), {rule(i), kAlt, 0, kAlt, kRule});
  symbols.insert(symbols.end(), {kAlt, kRule});
  const auto grammar = make(symbols, {"x"});
  CHECK(accepts(*grammar, "x"));
  symbols.insert(symbols.end() - 2, {rule(0), 0});
  check_refused(symbols, 32, "begins with itself");
}

// Random symbols: refused, or a grammar that every text can be tried on.
void test_noise() {
  std::mt19937 random(7);
  int taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::vector<int32_t> symbols(random() % 24);
    for (int32_t& symbol : symbols) symbol = int32_t(random() % 9) - 6;
    symbols.push_back(kAlt);
    symbols.push_back(kRule);
    std::shared_ptr<const Grammar> grammar;
    if (!Grammar::create(symbols, sets({"a", "b", "ab"}), &grammar).ok()) continue;
    ++taken;
    GrammarState state(*grammar);
    for (int j = 0; j < 20 && state.advance(uint8_t('a' + random() % 2)); ++j) (void)state.next();
  }
  CHECK(taken > 100);
}

}  // namespace

int main() {
  test_acceptance();
  test_ambiguity();
  test_long_lists_take_no_depth();
  test_what_is_too_deep_is_free();
  test_trying_changes_nothing();
  test_many_parses();
  test_explosions_end();
  test_malformed();
  test_long_chain();
  test_noise();
  return check_result();
}
