#include "soak_constraints.h"

#include <algorithm>

namespace switchyard {
namespace {

constexpr char kSpecial = '\xff';  // stands before a special token's name in a header

bool contains(const std::vector<int32_t>& ids, int32_t id) { return std::find(ids.begin(), ids.end(), id) != ids.end(); }

bool has_special(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  return std::any_of(ids.begin(), ids.end(), [&](int32_t id) { return tokenizer.is_special(id); });
}

// What stands between blanks and special tokens.
std::vector<std::string> words_of(const Tokenizer& tokenizer, const std::vector<int32_t>& header) {
  std::vector<std::string> words(1);
  for (const int32_t id : header) {
    const std::string_view bytes = tokenizer.is_special(id) ? " " : tokenizer.token_bytes(id);
    for (const char c : bytes) {
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r') words.emplace_back();
      else words.back() += c;
    }
  }
  return words;
}

std::string special(const char* name) { return kSpecial + std::string(name); }

std::string in_channel(const std::string& channel) { return special("<|channel|>") + channel; }

// The recipient may stand in the role or in the channel.
std::vector<std::string> call_headers(const std::vector<std::string>& recipients, const std::string& before) {
  std::vector<std::string> headers;
  for (const std::string& recipient : recipients) {
    const bool is_function = recipient.starts_with("functions.");
    for (const char* channel : {"commentary", "analysis"}) {
      if (is_function && channel != std::string("commentary")) continue;
      for (const std::string& type : {std::string(), std::string(" json"), " " + special("<|constrain|>") + "json"}) {
        headers.push_back(before + in_channel(channel) + " to=" + recipient + type + special("<|message|>"));
        headers.push_back(before + " to=" + recipient + in_channel(channel) + type + special("<|message|>"));
      }
    }
  }
  return headers;
}

}  // namespace

HeldCounts& HeldCounts::operator+=(const HeldCounts& other) {
  whole += other.whole, free += other.free, cut += other.cut, headers += other.headers;
  return *this;
}

ConstraintMaker::ConstraintMaker(std::shared_ptr<const Tokenizer> tokenizer, std::mt19937* random)
    : tokenizer_(std::move(tokenizer)),
      random_(*random),
      message_(id_of("<|message|>")),
      end_(id_of("<|end|>")),
      return_(id_of("<|return|>")),
      call_(id_of("<|call|>")),
      past_(id_of("<|endoftext|>")) {}

Held ConstraintMaker::constrain(GenerateRequest* request) {
  ask(&request->prompt);
  const size_t kind = up_to(3);
  Held held = kind == 0 ? free_headers() : kind == 1 ? answer(false) : kind == 2 ? answer(true) : many_parts();
  // A sampler that may choose none of the bytes that fit has an error to tell, which is not what is looked for here.
  std::erase_if(request->never_ids,
                [&](int32_t id) { return tokenizer_->is_special(id) || tokenizer_->token_bytes(id).size() < 2; });
  request->stop_ids = {return_, past_};
  if (kind < 3) request->stop_ids.push_back(call_);
  if (up_to(2) == 0) {  // a model that would rather break the form
    const auto& specials = tokenizer_->specials();
    request->sampling.logit_bias.push_back({specials[up_to(specials.size() - 1)].second, 4.0f + float(up_to(6))});
  }
  Constraints& constraints = request->constraints;
  constraints.tokenizer = tokenizer_;
  constraints.content_id = message_;
  constraints.part_ids = {end_, return_, call_, past_};
  for (const auto& [words, grammar, end_ids] : held.parts)
    constraints.parts.push_back({words, grammar ? grammar->build() : nullptr, end_ids});
  for (const auto& header : held.headers) constraints.headers.push_back(header->build());
  return held;
}

void ConstraintMaker::ask(std::vector<int32_t>* prompt) {
  static const char* const kQuestions[] = {"Who are you?",   "Write a poem.", "Give me JSON.",
                                           "What is 2 + 2?", "{\"a\":[",      "Die Tür\n"};
  const auto say = [&](const char* special_name, const char* said) {
    prompt->push_back(id_of(special_name));
    tokenizer_->encode(said, prompt);
  };
  say("<|start|>", "user"), say("<|message|>", kQuestions[up_to(std::size(kQuestions) - 1)]), say("<|end|>", "");
  say("<|start|>", "assistant");
  if (up_to(1) == 0) return;
  say("<|channel|>", "analysis"), say("<|message|>", "So."), say("<|end|>", ""), say("<|start|>", "assistant");
}

// A form of the answer or of calls, and nothing else.
Held ConstraintMaker::free_headers() {
  Held held;
  held.parts.push_back({{"final"}, random_grammar(&random_), {return_}});
  if (up_to(1) == 0) held.parts.push_back({{"to=functions.f"}, random_grammar(&random_), {call_}});
  return held;
}

// All that an answer is made of has a form: one call that is demanded behind at most one thought, or what the model likes.
Held ConstraintMaker::answer(bool demands_call) {
  Held held;
  std::vector<std::string> recipients;
  for (size_t i = demands_call + up_to(2); i > 0; --i) {
    recipients.push_back("functions.look_" + std::string(up_to(2), 'x') + std::to_string(i));
    const auto arguments = up_to(3) == 0 ? nullptr : random_grammar(&random_);
    held.parts.push_back({{"to=" + recipients.back()}, arguments, {call_}});
  }
  if (up_to(2) == 0) {
    recipients.push_back("python");
    held.parts.push_back({{"to=python"}, nullptr, {call_}});
  }
  held.parts.push_back({{"final"}, up_to(3) == 0 ? nullptr : random_grammar(&random_), {return_}});
  for (const char* channel : {"analysis", "commentary"}) held.parts.push_back({{channel}, nullptr, {end_}});
  const std::string before[] = {"", special("<|start|>") + "assistant"};
  for (const std::string& start : before) {
    std::vector<std::string> headers = call_headers(recipients, start);
    if (!demands_call || start.empty()) headers.push_back(start + in_channel("analysis") + special("<|message|>"));
    if (!demands_call) headers.push_back(start + in_channel("final") + " json" + special("<|message|>"));
    if (!demands_call) headers.push_back(start + in_channel("final") + special("<|message|>"));
    if (!demands_call && !recipients.empty()) headers.push_back(start + in_channel("commentary") + special("<|message|>"));
    held.headers.push_back(one_of(headers));
  }
  return held;
}

// Part after part, each of another grammar; calls do not stop it.
Held ConstraintMaker::many_parts() {
  Held held;
  const std::string start = special("<|start|>") + "assistant";
  std::vector<std::string> next = call_headers({"functions.g"}, start);
  for (const char* channel : {"commentary", "final"}) next.push_back(start + in_channel(channel) + special("<|message|>"));
  held.headers = {one_of({in_channel("commentary") + special("<|message|>")}), one_of(call_headers({"functions.f"}, start)),
                  one_of(next)};
  held.parts = {{{"to=functions.f"}, random_grammar(&random_), {call_, end_}},
                {{"to=functions.g", "commentary"}, random_grammar(&random_), {call_}},
                {{"commentary"}, random_grammar(&random_), {end_}},
                {{"final"}, random_grammar(&random_), {return_}}};
  return held;
}

std::string ConstraintMaker::text_of(const std::vector<int32_t>& ids) const {
  std::string text;
  for (const int32_t id : ids) {
    if (tokenizer_->is_special(id)) text += kSpecial;
    text += tokenizer_->token_bytes(id);
  }
  return text;
}

std::vector<ConstraintMaker::Said> ConstraintMaker::parts_of(const std::vector<int32_t>& ids) const {
  const auto ends_part = [&](int32_t id) { return id == end_ || id == return_ || id == call_ || id == past_; };
  std::vector<Said> parts;
  for (auto at = ids.begin(); at != ids.end();) {
    Said& part = parts.emplace_back();
    const auto begin = at;
    at = std::find_if(at, ids.end(), [&](int32_t id) { return id == message_ || ends_part(id); });
    part.has_content = at != ids.end() && *at == message_;
    if (at != ids.end()) ++at;
    part.header = {begin, at};
    if (!part.has_content) continue;
    const auto content = at;
    at = std::find_if(at, ids.end(), ends_part);
    part.content = {content, at};
    if (at != ids.end()) part.end = *at++;
  }
  return parts;
}

std::string ConstraintMaker::check(const Held& held, const std::vector<int32_t>& ids, Finish finish,
                                   HeldCounts* counts) const {
  size_t headers = 0;
  for (const Said& said : parts_of(ids)) {
    if (!held.headers.empty()) {
      const std::string header = text_of(said.header);
      const Fit fit = held.headers[std::min(headers++, held.headers.size() - 1)]->fit(header);
      if (fit == Fit::none || (fit != Fit::whole && said.has_content)) return "a header is not of its grammar: " + header;
      counts->headers += fit == Fit::whole;
    }
    if (!said.has_content) continue;
    const std::vector<std::string> words = words_of(*tokenizer_, said.header);
    const auto part = std::find_if(held.parts.begin(), held.parts.end(), [&](const Held::Part& one) {
      return std::all_of(one.words.begin(), one.words.end(), [&](const std::string& word) {
        return std::find(words.begin(), words.end(), word) != words.end();
      });
    });
    if (part == held.parts.end()) continue;
    const std::string content = text_of(said.content);
    const bool is_ended = said.end >= 0;
    if (part->grammar) {
      const Fit fit = part->grammar->fit(content);
      if (fit == Fit::none || (fit != Fit::whole && is_ended)) return "a part is not of its grammar: " + content;
    } else if (has_special(*tokenizer_, said.content)) {
      return "a text has a special token: " + content;
    }
    if (is_ended && !contains(part->end_ids, said.end)) return "a part was ended by another token than its own: " + content;
    if (!is_ended && finish == Finish::stop) return "an answer stopped within a part: " + content;
    ++(!is_ended ? counts->cut : part->grammar ? counts->whole : counts->free);
  }
  return "";
}

}  // namespace switchyard
