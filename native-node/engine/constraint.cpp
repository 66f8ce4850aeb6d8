#include "constraint.h"

#include <algorithm>
#include <limits>

#include "logits.h"

namespace switchyard {
namespace {

constexpr size_t kMostHeader = 4096;  // bytes; no header that means something is longer

bool contains(const std::vector<int32_t>& ids, int32_t id) { return std::find(ids.begin(), ids.end(), id) != ids.end(); }

// Whether `word` stands in the text between blanks.
bool has_word(const std::string& text, const std::string& word) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || is_blank(text[at - 1])) && (end == text.size() || is_blank(text[end]))) return true;
  }
  return false;
}

}  // namespace

Status check_constraints(const Constraints& constraints, int vocab_size) {
  if (constraints.parts.empty()) return {};
  if (!constraints.tokenizer) return Status::error(Code::invalid_argument, "constraints need a tokenizer");
  if (Status status = check_ids({constraints.content_id}, vocab_size, "content_id"); !status.ok()) return status;
  if (Status status = check_ids(constraints.part_ids, vocab_size, "part_ids"); !status.ok()) return status;
  for (const PartConstraint& part : constraints.parts) {
    if (!part.grammar) return Status::error(Code::invalid_argument, "a constraint needs a grammar");
    if (part.header_words.empty()) return Status::error(Code::invalid_argument, "a constraint needs words of a header");
    for (const std::string& word : part.header_words) {
      if (word.empty()) return Status::error(Code::invalid_argument, "a word of a header is not empty");
    }
    if (part.end_ids.empty()) return Status::error(Code::invalid_argument, "a constraint needs ids that end its part");
    if (Status status = check_ids(part.end_ids, vocab_size, "end_ids"); !status.ok()) return status;
  }
  return {};
}

void ConstraintState::saw(int32_t token) {
  const Tokenizer& tokenizer = *constraints_->tokenizer;
  if (contains(constraints_->part_ids, token)) {
    header_.clear();
    in_content_ = false;
    state_.reset();
  } else if (token == constraints_->content_id) {
    in_content_ = true;
    part_ = part_for_header();
    if (part_) state_.emplace(*part_->grammar);
  } else if (!in_content_) {
    if (header_.size() > kMostHeader) return;
    if (tokenizer.is_special(token)) header_ += ' ';
    else header_ += tokenizer.token_bytes(token);
  } else if (state_ && (!state_->advance(tokenizer.token_bytes(token)) || state_->is_lost())) {
    state_.reset();
  }
}

const PartConstraint* ConstraintState::part_for_header() const {
  for (const PartConstraint& part : constraints_->parts) {
    const auto& words = part.header_words;
    if (std::all_of(words.begin(), words.end(), [this](const std::string& word) { return has_word(header_, word); }))
      return &part;
  }
  return nullptr;
}

bool ConstraintState::allows(int32_t token) const {
  if (!state_) return true;
  if (contains(part_->end_ids, token)) return state_->may_end();
  const Tokenizer& tokenizer = *constraints_->tokenizer;
  if (token >= tokenizer.vocab_size() || tokenizer.is_special(token)) return false;
  const std::string_view bytes = tokenizer.token_bytes(token);
  return !bytes.empty() && GrammarState(*state_).advance(bytes);
}

int32_t ConstraintState::heir(int32_t token) const {
  const Tokenizer& tokenizer = *constraints_->tokenizer;
  if (!state_ || token >= tokenizer.vocab_size() || tokenizer.is_special(token)) return -1;
  const std::string_view bytes = tokenizer.token_bytes(token);
  GrammarState state(*state_);
  size_t fits = 0;
  while (fits < bytes.size() && state.advance(uint8_t(bytes[fits]))) ++fits;
  if (fits == 0) return -1;
  std::vector<int32_t> ids;
  tokenizer.encode(bytes.substr(0, fits), &ids);
  return ids[0];
}

void ConstraintState::mask(float* logits, size_t vocab_size) const {
  if (!state_) return;
  const Tokenizer& tokenizer = *constraints_->tokenizer;
  const ByteSet next = state_->next();
  for (size_t id = 0; id < vocab_size; ++id) {
    // Most fall at their first byte.
    const std::string_view bytes =
        id < size_t(tokenizer.vocab_size()) ? tokenizer.token_bytes(int32_t(id)) : std::string_view();
    const bool may_begin = !bytes.empty() && next.test(uint8_t(bytes[0]));
    const bool is_end = contains(part_->end_ids, int32_t(id));
    if (!((may_begin || is_end) && allows(int32_t(id)))) logits[id] = -std::numeric_limits<float>::infinity();
  }
}

}  // namespace switchyard
