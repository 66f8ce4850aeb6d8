// Holds the parts of an answer to their grammars (Constraints in include/engine.h): follows the tokens of one sequence, and
// says which may come next.
//
// In a part of any text only the tokens are masked that are none, but for those that end it: the logits that are left need not
// all be known (screened_head.h). Who wanted to end it otherwise ends it so.
//
// Under a grammar nothing is masked before it is drawn: the sampler asks about the token that it has chosen, and chooses again without it
// where it does not fit. The share of a refused token goes to that of its longest beginning that fits: who wanted `"}` and may
// not close the object yet wanted to close the string. Where there is none, greedy choice and plain temperature are the choice
// among all that fit, as the noise of a draw is that of the position; the filters (top_k, top_p, min_p) see the logits with
// those tokens taken out that were refused.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine.h"
#include "grammar.h"
#include "sampler.h"
#include "tokenizer.h"

namespace switchyard {

// invalid_argument names what is missing or lies outside the vocabulary.
Status check_constraints(const Constraints& constraints, int vocab_size);

class ConstraintState final : public TokenFilter {
 public:
  // Both must live as long. `never_ids`: what no answer has.
  ConstraintState(const Constraints& constraints, std::span<const int32_t> never_ids);

  // A token of the answer has been chosen.
  void saw(int32_t token);

  // What counts for the next token; until then.
  void limit(Sampler::Input* input) const;

  bool allows(int32_t token) const override;
  int32_t heir(int32_t token) const override;
  void mask(float* logits, size_t vocab_size) const override;

 private:
  void begin_header();
  void begin_content();
  void allow_any_text();
  std::string text_of(int32_t token) const;
  bool fits(int32_t token, size_t* steps) const;

  const Constraints* constraints_;
  std::span<const int32_t> never_ids_;
  size_t headers_ = 0;  // that have begun
  std::string header_;  // of the part that begins; a special token is a blank
  bool in_content_ = false;
  const PartConstraint* part_ = nullptr;  // of the content, where it is held
  mutable std::optional<GrammarState> state_;  // of the header or the content; what is only tried leaves it where it is
  std::vector<int32_t> ends_, masked_;         // of the content that may be any text
};

}  // namespace switchyard
