// Holds the parts of an answer to their grammars (Constraints in include/engine.h): follows the tokens of one sequence, and
// says which may come next.
//
// Nothing is masked before it is drawn: the sampler asks about the token that it has chosen, and chooses again without it
// where it does not fit. The share of a refused token goes to that of its longest beginning that fits: who wanted `"}` and may
// not close the object yet wanted to close the string. Where there is none, greedy choice and plain temperature are the choice
// among all that fit, as the noise of a draw is that of the position; the filters (top_k, top_p, min_p) see the logits with
// those tokens taken out that were refused.
#pragma once

#include <optional>
#include <string>

#include "engine.h"
#include "grammar.h"
#include "sampler.h"
#include "tokenizer.h"

namespace switchyard {

// invalid_argument names what is missing or lies outside the vocabulary.
Status check_constraints(const Constraints& constraints, int vocab_size);

class ConstraintState final : public TokenFilter {
 public:
  // `constraints` must live as long.
  explicit ConstraintState(const Constraints& constraints);

  // A token of the answer has been chosen.
  void saw(int32_t token);

  // Within a header or a part that has a grammar: else there is nothing to be asked.
  bool is_active() const { return state_.has_value(); }
  bool allows(int32_t token) const override;
  int32_t heir(int32_t token) const override;
  void mask(float* logits, size_t vocab_size) const override;

 private:
  void begin_header();
  void begin_content();
  std::string text_of(int32_t token) const;
  bool fits(int32_t token, size_t* steps) const;

  const Constraints* constraints_;
  size_t headers_ = 0;  // that have begun
  std::string header_;  // of the part that begins; a special token is a blank
  bool in_content_ = false;
  const PartConstraint* part_ = nullptr;  // of the content that is held
  mutable std::optional<GrammarState> state_;  // of the header or the content; what is only tried leaves it where it is
};

}  // namespace switchyard
