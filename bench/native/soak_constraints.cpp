#include "soak_constraints.h"

#include <algorithm>

namespace switchyard {
namespace {

constexpr char kSpecial = '\xff';  // stands before a special token's name in a header

bool contains(const std::vector<int32_t>& ids, int32_t id) { return std::find(ids.begin(), ids.end(), id) != ids.end(); }

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

// The recipient may stand in the role or in the channel.
std::vector<std::string> call_headers(const std::vector<std::string>& names, const std::string& before) {
  std::vector<std::string> headers;
  const std::string channel = special("<|channel|>") + "commentary", json = " " + special("<|constrain|>") + "json";
  for (const std::string& name : names) {
    for (const std::string& end : {json + special("<|message|>"), special("<|message|>")}) {
      headers.push_back(before + channel + " to=functions." + name + end);
      headers.push_back(before + " to=functions." + name + channel + end);
    }
  }
  return headers;
}

}  // namespace

HeldCounts& HeldCounts::operator+=(const HeldCounts& other) {
  whole += other.whole, cut += other.cut, headers += other.headers;
  return *this;
}

ConstraintMaker::ConstraintMaker(std::shared_ptr<const Tokenizer> tokenizer, std::mt19937* random)
    : tokenizer_(std::move(tokenizer)),
      random_(*random),
      message_(id_of("<|message|>")),
      end_(id_of("<|end|>")),
      return_(id_of("<|return|>")),
      call_(id_of("<|call|>")) {}

Held ConstraintMaker::constrain(GenerateRequest* request) {
  ask(&request->prompt);
  const size_t kind = up_to(2);
  Held held = kind == 0 ? answer() : kind == 1 ? demanded_call() : many_parts();
  // A sampler that may choose none of the bytes that fit has an error to tell, which is not what is looked for here.
  std::erase_if(request->never_ids,
                [&](int32_t id) { return tokenizer_->is_special(id) || tokenizer_->token_bytes(id).size() < 2; });
  request->stop_ids = {return_};
  if (kind < 2) request->stop_ids.push_back(call_);
  Constraints& constraints = request->constraints;
  constraints.tokenizer = tokenizer_;
  constraints.content_id = message_;
  constraints.part_ids = {end_, return_, call_};
  for (const Held::Part& part : held.parts)
    constraints.parts.push_back({part.words, part.grammar->build(), part.end_ids});
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

// A format of the answer beside strict functions, headers free.
Held ConstraintMaker::answer() {
  Held held;
  held.parts.push_back({{"final"}, random_grammar(&random_), {return_}});
  if (up_to(1) == 0) held.parts.push_back({{"to=functions.f"}, random_grammar(&random_), {call_}});
  return held;
}

// Thinking or a call first, a call behind that.
Held ConstraintMaker::demanded_call() {
  Held held;
  std::vector<std::string> names;
  for (size_t i = 1 + up_to(3); i > 0; --i) {
    names.push_back("look_" + std::string(up_to(2), 'x') + std::to_string(i));
    held.parts.push_back({{"to=functions." + names.back()}, random_grammar(&random_), {call_}});
  }
  held.parts.push_back({{"analysis"}, any_text(), {end_}});
  std::vector<std::string> first = call_headers(names, "");
  if (up_to(1) == 0) first.push_back(special("<|channel|>") + "analysis" + special("<|message|>"));
  held.headers = {one_of(first), one_of(call_headers(names, special("<|start|>") + "assistant"))};
  return held;
}

// Part after part, each of another grammar; calls do not stop it.
Held ConstraintMaker::many_parts() {
  Held held;
  const std::string before = special("<|start|>") + "assistant";
  std::vector<std::string> next = call_headers({"g"}, before);
  for (const char* channel : {"commentary", "final"})
    next.push_back(before + special("<|channel|>") + channel + special("<|message|>"));
  held.headers = {one_of({special("<|channel|>") + "commentary" + special("<|message|>")}),
                  one_of(call_headers({"f"}, before)), one_of(next)};
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
  const auto ends_part = [&](int32_t id) { return id == end_ || id == return_ || id == call_; };
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
    const Fit fit = part->grammar->fit(content);
    if (fit == Fit::none || (fit != Fit::whole && is_ended)) return "a part is not of its grammar: " + content;
    if (is_ended && !contains(part->end_ids, said.end)) return "a part was ended by another token than its own: " + content;
    if (!is_ended && finish == Finish::stop) return "an answer stopped within a part: " + content;
    ++(is_ended ? counts->whole : counts->cut);
  }
  return "";
}

}  // namespace switchyard
