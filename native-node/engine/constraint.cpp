#include "constraint.h"

#include <algorithm>
#include <limits>

#include "logits.h"

namespace switchyard {
namespace {

constexpr char kSpecial = '\xff';     // in no text that is UTF-8
constexpr size_t kMostHeader = 4096;  // bytes; no header that means something is longer
// Steps of a grammar, of which a nearly unambiguous one takes about three a byte: for one token, and for those of a mask
// together. A token for which they do not suffice is refused.
constexpr size_t kMostSteps = size_t(1) << 14, kMostMaskSteps = size_t(1) << 21;

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
  if (constraints.empty()) return {};
  if (!constraints.tokenizer) return Status::error(Code::invalid_argument, "constraints need a tokenizer");
  if (constraints.tokenizer->vocab_size() > vocab_size)
    return Status::error(Code::invalid_argument, "the tokenizer of constraints has more ids than the model");
  if (Status status = check_ids({constraints.content_id}, vocab_size, "content_id"); !status.ok()) return status;
  if (Status status = check_ids(constraints.part_ids, vocab_size, "part_ids"); !status.ok()) return status;
  for (const auto& header : constraints.headers) {
    if (!header) return Status::error(Code::invalid_argument, "a header needs a grammar");
  }
  for (const PartConstraint& part : constraints.parts) {
    if (part.header_words.empty()) return Status::error(Code::invalid_argument, "a constraint needs words of a header");
    for (const std::string& word : part.header_words) {
      if (word.empty()) return Status::error(Code::invalid_argument, "a word of a header is not empty");
    }
    if (part.end_ids.empty()) return Status::error(Code::invalid_argument, "a constraint needs ids that end its part");
    if (Status status = check_ids(part.end_ids, vocab_size, "end_ids"); !status.ok()) return status;
  }
  return {};
}

ConstraintState::ConstraintState(const Constraints& constraints, std::span<const int32_t> never_ids)
    : constraints_(&constraints), never_ids_(never_ids) {
  begin_header();
}

void ConstraintState::begin_header() {
  header_.clear();
  in_content_ = false;
  part_ = nullptr;
  state_.reset();
  const auto& headers = constraints_->headers;
  if (!headers.empty()) state_.emplace(*headers[std::min(headers_, headers.size() - 1)]);
  ++headers_;
}

void ConstraintState::begin_content() {
  in_content_ = true;
  state_.reset();
  const auto is_meant = [this](const PartConstraint& part) {
    const auto& words = part.header_words;
    return std::all_of(words.begin(), words.end(), [this](const std::string& word) { return has_word(header_, word); });
  };
  const auto& parts = constraints_->parts;
  const auto part = std::find_if(parts.begin(), parts.end(), is_meant);
  if (part == parts.end()) return;
  part_ = &*part;
  if (part_->grammar) state_.emplace(*part_->grammar);
  else allow_any_text();
}

// From now on nothing but ids that end the part matter.
void ConstraintState::allow_any_text() {
  state_.reset();
  if (!part_) return;
  const auto is_end = [this](int32_t id) { return contains(part_->end_ids, id); };
  ends_.assign(1, part_->end_ids[0]);
  for (const int32_t id : constraints_->part_ids) {
    if (!is_end(id)) ends_.push_back(id);
  }
  masked_.assign(never_ids_.begin(), never_ids_.end());
  for (const auto& [name, id] : constraints_->tokenizer->specials()) {
    if (!is_end(id)) masked_.push_back(id);
  }
}

void ConstraintState::limit(Sampler::Input* input) const {
  if (state_) {
    input->filter = this;
  } else if (part_) {
    input->never_ids = masked_;
    input->ends = ends_;
  }
}

// What a grammar sees of a token; empty: it cannot stand here.
std::string ConstraintState::text_of(int32_t token) const {
  const Tokenizer& tokenizer = *constraints_->tokenizer;
  if (token < 0 || token >= tokenizer.vocab_size()) return "";
  const std::string text(tokenizer.token_bytes(token));
  if (tokenizer.is_special(token)) return in_content_ || text.empty() ? "" : kSpecial + text;
  // No text passes for a special token.
  return !in_content_ && text.find(kSpecial) != std::string::npos ? "" : text;
}

void ConstraintState::saw(int32_t token) {
  if (contains(constraints_->part_ids, token)) return begin_header();
  if (!in_content_ && token == constraints_->content_id) return begin_content();
  if (!in_content_ && header_.size() <= kMostHeader) {
    const Tokenizer& tokenizer = *constraints_->tokenizer;
    if (tokenizer.is_special(token)) header_ += ' ';
    else header_ += tokenizer.token_bytes(token);
  }
  if (state_ && (!state_->advance(text_of(token)) || state_->is_lost())) allow_any_text();
}

bool ConstraintState::allows(int32_t token) const {
  size_t steps = kMostSteps;
  return !state_ || fits(token, &steps);
}

bool ConstraintState::fits(int32_t token, size_t* steps) const {
  if (in_content_ && contains(part_->end_ids, token)) return state_->may_end();
  if (contains(constraints_->part_ids, token)) return false;
  const std::string text = text_of(token);
  return !text.empty() && state_->reach(text, steps) == text.size();
}

int32_t ConstraintState::heir(int32_t token) const {
  const Tokenizer& tokenizer = *constraints_->tokenizer;
  if (!state_) return -1;
  // It wanted to be done, only not in this way.
  if (in_content_ && contains(constraints_->part_ids, token)) return state_->may_end() ? part_->end_ids[0] : -1;
  if (tokenizer.is_special(token)) return -1;
  const std::string text = text_of(token);
  size_t steps = kMostSteps;
  const size_t fitting = state_->reach(text, &steps);
  if (fitting == 0) return -1;
  std::vector<int32_t> ids;
  tokenizer.encode(std::string_view(text).substr(0, fitting), &ids);
  return ids[0];
}

void ConstraintState::mask(float* logits, size_t vocab_size) const {
  if (!state_) return;
  const Tokenizer& tokenizer = *constraints_->tokenizer;
  const ByteSet next = state_->next();
  size_t left = kMostMaskSteps, own = 0;
  for (size_t i = 0; i < vocab_size; ++i) {
    const int32_t id = int32_t(i);
    const std::string_view bytes = id < tokenizer.vocab_size() ? tokenizer.token_bytes(id) : std::string_view();
    const bool is_plain = !bytes.empty() && !tokenizer.is_special(id);
    // Most fall at their first byte. Something is left whatever the others cost: a single byte, a control token.
    const bool may_begin = !is_plain || next.test(uint8_t(bytes[0]));
    const bool is_cheap = !is_plain || bytes.size() == 1;
    if (is_cheap) own = kMostSteps;
    if (!may_begin || !fits(id, is_cheap ? &own : &left)) logits[i] = -std::numeric_limits<float>::infinity();
  }
}

}  // namespace switchyard
