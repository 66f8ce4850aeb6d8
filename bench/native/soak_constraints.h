// Constrained requests of the soak, as native-node/server/grammar makes them, and whether an answer kept to what was asked.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine.h"
#include "soak_grammar.h"
#include "tokenizer.h"

namespace switchyard {

// A request's constraints in the soak's own notation.
struct Held {
  struct Part {
    std::vector<std::string> words;
    std::shared_ptr<const SoakGrammar> grammar;  // none: any text without special tokens
    std::vector<int32_t> end_ids;
  };
  std::vector<Part> parts;
  std::vector<std::shared_ptr<const SoakGrammar>> headers;
};

struct HeldCounts {
  size_t whole = 0;    // parts that came to their end in their grammars
  size_t free = 0;     // that came to their end and could be any text
  size_t cut = 0;      // that the answer ended within
  size_t headers = 0;  // that were held, whole
  HeldCounts& operator+=(const HeldCounts& other);
};

class ConstraintMaker {
 public:
  ConstraintMaker(std::shared_ptr<const Tokenizer> tokenizer, std::mt19937* random);

  // Gives the request constraints, and its prompt an end from which an answer begins.
  Held constrain(GenerateRequest* request);
  // Empty where every held header and part is of its grammar, those the answer ended within as far as they came; else what
  // is wrong.
  std::string check(const Held& held, const std::vector<int32_t>& ids, Finish finish, HeldCounts* counts) const;

 private:
  size_t up_to(size_t most) { return random_() % (most + 1); }
  int32_t id_of(const char* name) const { return tokenizer_->special_id(name); }
  void ask(std::vector<int32_t>* prompt);
  Held free_headers();
  Held answer(bool demands_call);
  Held many_parts();
  struct Said {
    std::vector<int32_t> header, content;
    bool has_content = false;
    int32_t end = -1;  // the token that ended it
  };
  std::vector<Said> parts_of(const std::vector<int32_t>& ids) const;
  std::string text_of(const std::vector<int32_t>& ids) const;

  const std::shared_ptr<const Tokenizer> tokenizer_;
  std::mt19937& random_;
  const int32_t message_, end_, return_, call_, past_;
};

}  // namespace switchyard
