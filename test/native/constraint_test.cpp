// Parts of an answer that are held to a grammar: which part is meant, what may end it, and that the demo model cannot leave it,
// however it is sampled and with whomever it shares its steps.
#include "constraint.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "check.h"
#include "scheduler_fixture.h"

using namespace switchyard;

namespace {

const std::string kDemo = SWITCHYARD_SOURCE_DIR "/models/demo";

std::shared_ptr<const Tokenizer> load_tokenizer() {
  std::unique_ptr<Tokenizer> tokenizer;
  CHECK_OK(Tokenizer::load(kDemo + "/tokenizer.json", &tokenizer));
  return tokenizer;
}

std::vector<int32_t> encode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, &ids);
  return ids;
}

std::string decode(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += tokenizer.token_bytes(id);
  return text;
}

// '{"n":' digits '}', with two to six digits.
std::shared_ptr<const Grammar> numbered() {
  std::vector<uint8_t> sets(7 * 32);
  const auto put = [&](size_t set, char c) { sets[set * 32 + uint8_t(c) / 8] |= uint8_t(1 << (uint8_t(c) % 8)); };
  for (size_t i = 0; i < 6; ++i) put(i, "{\"n:}0"[i]);
  for (char digit = '0'; digit <= '9'; ++digit) put(6, digit);
  constexpr int32_t kAlt = Grammar::kEndOfAlternative, kRule = Grammar::kEndOfRule;
  std::vector<int32_t> symbols{0, 1, 2, 1, 3, 6, 6, Grammar::kFirstRule - 1, 4, kAlt, kRule};
  for (int32_t left = 4; left > 0; --left) {
    const int32_t next = Grammar::kFirstRule - (6 - left);
    for (const int32_t symbol : {6, next, kAlt, kAlt, kRule}) symbols.push_back(symbol);
  }
  for (const int32_t symbol : {kAlt, kRule}) symbols.push_back(symbol);
  std::shared_ptr<const Grammar> grammar;
  CHECK_OK(Grammar::create(symbols, sets, &grammar));
  return grammar;
}

Constraints constrain(const std::shared_ptr<const Tokenizer>& tokenizer, std::vector<std::string> words) {
  const auto id = [&](const char* name) { return tokenizer->special_id(name); };
  Constraints constraints;
  constraints.tokenizer = tokenizer;
  constraints.content_id = id("<|message|>");
  constraints.part_ids = {id("<|end|>"), id("<|return|>"), id("<|call|>")};
  constraints.parts.push_back({std::move(words), numbered(), {id("<|return|>")}});
  return constraints;
}

// Lets a state see text, with control tokens by their names.
void show(ConstraintState* state, const Tokenizer& tokenizer, std::string text) {
  while (!text.empty()) {
    const size_t begin = text.find("<|");
    for (const int32_t token : encode(tokenizer, text.substr(0, begin))) state->saw(token);
    if (begin == std::string::npos) return;
    const size_t end = text.find("|>", begin) + 2;
    state->saw(tokenizer.special_id(text.substr(begin, end - begin)));
    text = text.substr(end);
  }
}

Sampler::Input limits_of(const ConstraintState& state) {
  Sampler::Input input{};
  state.limit(&input);
  return input;
}

bool is_asked(const ConstraintState& state) { return limits_of(state).filter != nullptr; }

void test_which_part() {
  const auto tokenizer = load_tokenizer();
  const auto active = [&](std::vector<std::string> words, const char* text) {
    const Constraints constraints = constrain(tokenizer, std::move(words));
    ConstraintState state(constraints, {});
    show(&state, *tokenizer, text);
    return is_asked(state);
  };
  CHECK(active({"final"}, "<|channel|>final<|message|>"));
  CHECK(active({"final"}, "<|channel|>final <|constrain|>json<|message|>"));
  CHECK(active({"final"}, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"));
  CHECK(!active({"final"}, "<|channel|>analysis<|message|>"));
  CHECK(!active({"final"}, "<|channel|>final"));
  CHECK(!active({"final"}, "<|channel|>finally<|message|>"));
  CHECK(!active({"final"}, "<|channel|>final<|message|>{\"n\":12}<|return|>"));
  CHECK(!active({"final"}, "<|channel|>commentary to=functions.final<|message|>"));
  CHECK(active({"to=functions.f"}, "<|channel|>commentary to=functions.f <|constrain|>json<|message|>"));
  CHECK(active({"to=functions.f"}, " to=functions.f<|channel|>commentary<|message|>"));
  CHECK(!active({"to=functions.f"}, "<|channel|>commentary to=functions.fg<|message|>"));
  CHECK(!active({"to=functions.f"}, "<|channel|>analysis<|message|>to=functions.f"));
}

void test_what_may_come() {
  const auto tokenizer = load_tokenizer();
  const Constraints constraints = constrain(tokenizer, {"final"});
  ConstraintState state(constraints, {});
  const int32_t end = tokenizer->special_id("<|return|>"), other = tokenizer->special_id("<|end|>");
  CHECK(state.allows(end));
  show(&state, *tokenizer, "<|channel|>final<|message|>{\"n\":12");
  CHECK(!state.allows(end));
  CHECK(state.allows(encode(*tokenizer, "}")[0]));
  CHECK_EQ(state.heir(other), -1);
  show(&state, *tokenizer, "}");
  CHECK(state.allows(end));
  CHECK_EQ(state.heir(other), end);
  CHECK(!state.allows(other));
  CHECK(!state.allows(encode(*tokenizer, " ")[0]));
  CHECK_EQ(state.heir(encode(*tokenizer, " ")[0]), -1);
  // As a mask says it.
  std::vector<float> logits(size_t(tokenizer->vocab_size()) + 3);
  state.mask(logits.data(), logits.size());
  for (size_t id = 0; id < logits.size(); ++id) CHECK_EQ(std::isinf(logits[id]), int32_t(id) != end);
}

// Any text, and one way to end it.
void test_a_part_of_any_text() {
  const auto tokenizer = load_tokenizer();
  const auto special = [&](const char* name) { return tokenizer->special_id(name); };
  const auto has = [](std::span<const int32_t> ids, int32_t id) { return std::find(ids.begin(), ids.end(), id) != ids.end(); };
  Constraints constraints = constrain(tokenizer, {"final"});
  const int32_t end = special("<|end|>"), past = special("<|endoftext|>"), never = encode(*tokenizer, "So")[0];
  constraints.part_ids.push_back(past);
  constraints.parts.push_back({{"analysis"}, nullptr, {end}});
  CHECK_OK(check_constraints(constraints, tokenizer->vocab_size()));
  const std::vector<int32_t> nevers = {never};
  ConstraintState state(constraints, nevers);
  const auto is_free = [&] {
    const Sampler::Input input = limits_of(state);
    return !input.filter && input.ends.empty() && input.never_ids.empty();
  };
  CHECK(is_free());
  show(&state, *tokenizer, "<|channel|>analysis<|message|>");
  for (const char* said : {"Well", ", {\"n\":"}) {
    const Sampler::Input input = limits_of(state);
    CHECK(!input.filter);
    CHECK_EQ(input.ends.size(), size_t(4));
    CHECK_EQ(input.ends[0], end);
    for (const char* name : {"<|return|>", "<|call|>", "<|endoftext|>"}) CHECK(has(input.ends, special(name)));
    CHECK(has(input.never_ids, never));
    for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
      if (id != never) CHECK_EQ(has(input.never_ids, id), tokenizer->is_special(id) && id != end);
    }
    show(&state, *tokenizer, said);
  }
  show(&state, *tokenizer, "<|end|>");
  CHECK(is_free());
  show(&state, *tokenizer, "<|start|>assistant<|channel|>final<|message|>");
  CHECK(is_asked(state));
  // What a grammar no longer holds still ends as it must.
  show(&state, *tokenizer, "no number");
  CHECK_EQ(limits_of(state).ends[0], special("<|return|>"));
  CHECK(!is_asked(state));
}

// Chosen among all tokens that fit, as if the others had never been there.
void test_sampler_with_a_filter() {
  struct Odd final : TokenFilter {
    bool allows(int32_t token) const override { return token % 32 == 5; }
    int32_t heir(int32_t) const override { return -1; }
    void mask(float* logits, size_t n) const override {
      for (size_t i = 0; i < n; ++i)
        if (!allows(int32_t(i))) logits[i] = -std::numeric_limits<float>::infinity();
    }
  } odd;
  Sampler sampler(*ops_scalar(), 512);
  const std::unordered_map<int32_t, int> counts;
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 2);
  for (uint64_t position = 0; position < 300; ++position) {
    SamplingParams params;
    params.temperature = position % 3 == 0 ? 0.0f : 0.8f;
    params.seed = 9;
    std::vector<float> logits(512);
    for (float& logit : logits) logit = normal(random);
    std::vector<float> masked = logits;
    odd.mask(masked.data(), masked.size());
    int32_t got = -1, expected = -1;
    CHECK_OK(sampler.sample({&params, {}, &counts, position, &odd}, logits.data(), &got, nullptr));
    CHECK_OK(sampler.sample({&params, {}, &counts, position}, masked.data(), &expected, nullptr));
    CHECK_EQ(got, expected);
  }
  // What a mask leaves is taken: a filter that contradicts itself costs no draw for each token.
  struct Fickle final : TokenFilter {
    mutable int asked = 0;
    bool allows(int32_t) const override { return ++asked < 0; }
    int32_t heir(int32_t) const override { return -1; }
    void mask(float* logits, size_t n) const override { std::fill(logits + 1, logits + n, -std::numeric_limits<float>::infinity()); }
  } fickle;
  {
    SamplingParams params;
    std::vector<float> logits(512);
    logits[0] = -5;
    int32_t token = -1;
    CHECK_OK(sampler.sample({&params, {}, &counts, 0, &fickle}, logits.data(), &token, nullptr));
    CHECK_EQ(token, 0);
    CHECK(fickle.asked <= 16);
  }
  struct None final : TokenFilter {
    bool allows(int32_t) const override { return false; }
    int32_t heir(int32_t) const override { return -1; }
    void mask(float* logits, size_t n) const override {
      std::fill(logits, logits + n, -std::numeric_limits<float>::infinity());
    }
  } none;
  SamplingParams params;
  std::vector<float> logits(512);
  int32_t token = 0;
  CHECK(sampler.sample({&params, {}, &counts, 0, &none}, logits.data(), &token, nullptr).code == Code::internal);
}

// 255 and the name of a control token, in a header.
std::shared_ptr<const Grammar> texts(const std::vector<std::string>& alternatives) {
  std::vector<int32_t> symbols;
  std::vector<uint8_t> sets(256 * 32);
  for (size_t byte = 0; byte < 256; ++byte) sets[byte * 32 + byte / 8] = uint8_t(1 << (byte % 8));
  for (const std::string& text : alternatives) {
    for (const char c : text) symbols.push_back(uint8_t(c));
    symbols.push_back(Grammar::kEndOfAlternative);
  }
  symbols.push_back(Grammar::kEndOfRule);
  std::shared_ptr<const Grammar> grammar;
  CHECK_OK(Grammar::create(symbols, sets, &grammar));
  return grammar;
}

// The first header, and all after it.
void test_headers() {
  const auto tokenizer = load_tokenizer();
  Constraints constraints = constrain(tokenizer, {"x"});
  constraints.parts.clear();
  constraints.headers = {texts({"\xff<|channel|>analysis\xff<|message|>", "\xff<|channel|>commentary\xff<|message|>"}),
                         texts({"\xff<|start|>assistant\xff<|channel|>commentary\xff<|message|>"})};
  CHECK_OK(check_constraints(constraints, tokenizer->vocab_size()));
  ConstraintState state(constraints, {});
  const auto special = [&](const char* name) { return tokenizer->special_id(name); };
  const int32_t final = encode(*tokenizer, "final")[0], analysis = encode(*tokenizer, "analysis")[0];
  const int32_t spoken = encode(*tokenizer, "<")[0];
  CHECK(is_asked(state));
  CHECK(state.allows(special("<|channel|>")));
  CHECK(!state.allows(special("<|start|>")));
  CHECK(!state.allows(special("<|return|>")));
  CHECK(!state.allows(spoken));
  show(&state, *tokenizer, "<|channel|>");
  CHECK(state.allows(analysis));
  CHECK(!state.allows(final));
  CHECK(!state.allows(special("<|message|>")));
  std::vector<float> logits(size_t(tokenizer->vocab_size()));
  state.mask(logits.data(), logits.size());
  for (size_t id = 0; id < logits.size(); ++id) CHECK_EQ(std::isinf(logits[id]), !state.allows(int32_t(id)));
  show(&state, *tokenizer, "analysis<|message|>");
  CHECK(!is_asked(state));
  for (int i = 0; i < 3; ++i) {
    show(&state, *tokenizer, "So.<|end|>");
    CHECK(state.allows(special("<|start|>")));
    CHECK(!state.allows(special("<|channel|>")));
    show(&state, *tokenizer, "<|start|>assistant<|channel|>");
    CHECK(!state.allows(analysis));
    CHECK_EQ(state.heir(final), -1);
    show(&state, *tokenizer, "commentary");
    CHECK(state.allows(special("<|message|>")));
    show(&state, *tokenizer, "<|message|>");
    CHECK(!is_asked(state));
  }
  // What is not of the grammar all the same: then it holds nothing.
  show(&state, *tokenizer, "<|end|>oh");
  CHECK(!is_asked(state));
}

// What fits of a refused token has its share.
void test_heirs() {
  const auto tokenizer = load_tokenizer();
  const Constraints constraints = constrain(tokenizer, {"final"});
  ConstraintState state(constraints, {});
  show(&state, *tokenizer, "<|channel|>final<|message|>{\"");
  const int32_t wanted = encode(*tokenizer, "name")[0], heir = encode(*tokenizer, "n")[0], other = encode(*tokenizer, "a")[0];
  CHECK(!state.allows(wanted));
  CHECK(decode(*tokenizer, {wanted}).size() > 1);
  CHECK_EQ(state.heir(wanted), heir);
  CHECK_EQ(state.heir(other), -1);
  CHECK_EQ(state.heir(tokenizer->special_id("<|end|>")), -1);
  Sampler sampler(*ops_scalar(), size_t(tokenizer->vocab_size()));
  const std::unordered_map<int32_t, int> counts;
  SamplingParams params;
  params.temperature = 0;
  std::vector<float> logits(size_t(tokenizer->vocab_size()), -20.0f);
  logits[size_t(wanted)] = 5;
  logits[size_t(other)] = 4;
  logits[size_t(heir)] = -9;
  int32_t token = -1;
  CHECK_OK(sampler.sample({&params, {}, &counts, 0, &state}, logits.data(), &token, nullptr));
  CHECK_EQ(token, heir);
  // It is the share that decides between the heir and another that fits.
  struct OneHeir final : TokenFilter {
    bool allows(int32_t id) const override { return id > 0; }
    int32_t heir(int32_t) const override { return 1; }
    void mask(float* all, size_t) const override { all[0] = -std::numeric_limits<float>::infinity(); }
  } one_heir;
  Sampler small(*ops_scalar(), 3);
  for (const float share : {3.0f, 5.0f}) {
    float three[] = {share, -9, 4};
    CHECK_OK(small.sample({&params, {}, &counts, 0, &one_heir}, three, &token, nullptr));
    CHECK_EQ(token, share > 4 ? 1 : 2);
  }
}

bool is_numbered(const std::string& text) {
  const auto grammar = numbered();
  GrammarState state(*grammar);
  return state.advance(text) && state.may_end();
}

GenerateRequest ask(const std::shared_ptr<const Tokenizer>& tokenizer, const char* words, float temperature, uint64_t seed) {
  std::vector<int32_t> prompt;
  const auto special = [&](const char* name) { prompt.push_back(tokenizer->special_id(name)); };
  const auto text = [&](std::string_view said) { tokenizer->encode(said, &prompt); };
  special("<|start|>"), text("user"), special("<|message|>"), text(words), special("<|end|>"), special("<|start|>");
  text("assistant"), special("<|channel|>"), text("analysis"), special("<|message|>"), text("So."), special("<|end|>");
  special("<|start|>"), text("assistant");
  GenerateRequest request = request_of(prompt, 60, seed);
  request.sampling.temperature = temperature;
  request.stop_ids = {tokenizer->special_id("<|return|>"), tokenizer->special_id("<|call|>")};
  request.constraints = constrain(tokenizer, {"final"});
  return request;
}

// What stands in the final part, where there is one.
std::string final_part(const Tokenizer& tokenizer, const Answer& answer) {
  const std::string text = decode(tokenizer, answer.ids), begin = "final<|message|>", end = "<|return|>";
  const size_t at = text.find(begin);
  if (at == std::string::npos || !text.ends_with(end)) return "";
  return text.substr(at + begin.size(), text.size() - at - begin.size() - end.size());
}

void test_the_model_stays_in_the_grammar() {
  const auto tokenizer = load_tokenizer();
  const std::unique_ptr<Model> model = load(kDemo, "fast");
  std::vector<GenerateRequest> requests;
  for (const char* words : {"Who are you?", "Write a poem.", "<|}\"\n"}) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      GenerateRequest request = ask(tokenizer, words, seed == 0 ? 0.0f : 0.7f * float(seed), seed);
      if (seed == 2) request.sampling.top_p = 0.9f;
      if (seed == 3) request.sampling.top_k = 5, request.sampling.top_logprobs = 2;
      if (seed == 3) request.predicted = encode(*tokenizer, "I am a small model.");
      requests.push_back(request);
    }
  }
  Runner runner(model.get(), {.max_sequences = 5, .speculate = 4, .always_speculate = true});
  std::vector<uint64_t> ids;
  for (const GenerateRequest& request : requests) ids.push_back(runner.submit(request));
  runner.wait_all();
  int held = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const Answer answer = runner.answer(ids[i]);
    CHECK(answer.finish == Finish::stop || answer.finish == Finish::length);
    if (answer.finish == Finish::stop) {
      const std::string part = final_part(*tokenizer, answer);
      if (!part.empty() && !is_numbered(part)) check_failed(__FILE__, __LINE__, "not of the grammar: " + part);
      held += is_numbered(part);
    }
    const Answer alone = run_alone(model.get(), requests[i]);
    CHECK(alone.ids == answer.ids);
    if (requests[i].sampling.top_logprobs >= 0) CHECK_EQ(answer.logprobs.size(), answer.ids.size());
  }
  CHECK(held >= 9);
}

std::unique_ptr<Model> load_with_head(const std::string& head) {
  EngineOptions options;
  options.model_path = kDemo;
  options.head = head;
  options.threads = 2;
  std::unique_ptr<Model> model;
  CHECK_OK(Model::load(options, {}, &model));
  return model;
}

// A model that wants nothing but to be done, or to break the form, comes to its answer all the same, and the head need not be
// read whole for what it thinks.
void test_thinking_ends_in_an_answer() {
  const auto tokenizer = load_tokenizer();
  const auto whole = load_with_head("exact"), screened = load_with_head("screened");
  const auto special = [&](const char* name) { return tokenizer->special_id(name); };
  const std::string thinking = "<|channel|>analysis<|message|>", closed = thinking + "<|end|>";
  const std::string final = "<|start|>assistant<|channel|>final<|message|>";
  int thought = 0;
  for (const char* wanted : {"<|return|>", "<|call|>", "<|endoftext|>", "<|end|>", "<|start|>", "<|channel|>", "<|message|>", ""}) {
    for (const float temperature : {0.0f, 1.0f, 2.0f}) {
      std::vector<int32_t> prompt{special("<|start|>")};
      tokenizer->encode("assistant", &prompt);
      GenerateRequest request = request_of(prompt, 300, 7);
      request.sampling.temperature = temperature;
      if (*wanted) request.sampling.logit_bias = {{special(wanted), 60.0f}};
      request.stop_ids = {special("<|return|>"), special("<|call|>"), special("<|endoftext|>")};
      request.constraints = constrain(tokenizer, {"final"});
      request.constraints.part_ids.push_back(special("<|endoftext|>"));
      request.constraints.parts.push_back({{"analysis"}, nullptr, {special("<|end|>")}});
      request.constraints.headers = {texts({"\xff<|channel|>analysis\xff<|message|>"}),
                                     texts({"\xff<|start|>assistant\xff<|channel|>final\xff<|message|>"})};
      const Answer answer = run_alone(whole.get(), request);
      const std::string text = decode(*tokenizer, answer.ids);
      CHECK(text.starts_with(thinking));
      const bool is_end = *wanted == '<' && std::string("<|return|><|call|><|endoftext|><|end|>").find(wanted) != std::string::npos;
      if (is_end) CHECK(text.starts_with(closed + final));
      if (answer.finish == Finish::stop) {
        CHECK(is_numbered(final_part(*tokenizer, answer)));
        ++thought;
      } else {
        CHECK_EQ(text.find(final), std::string::npos);  // still thinking
      }
      CHECK(run_alone(screened.get(), request).ids == answer.ids);
    }
  }
  CHECK(thought >= 16);
  // What is asked of the head.
  const Constraints constraints = [&] {
    Constraints all = constrain(tokenizer, {"final"});
    all.parts = {{{"analysis"}, nullptr, {special("<|end|>")}}};
    return all;
  }();
  ConstraintState state(constraints, {});
  show(&state, *tokenizer, "<|channel|>analysis<|message|>");
  Sampler::Input input = limits_of(state);
  const SamplingParams params;
  const std::unordered_map<int32_t, int> counts;
  input.params = &params, input.counts = &counts;
  const LogitNeed need = Sampler::need(input);
  CHECK(!need.all);
  for (const int32_t id : input.ends) CHECK(std::find(need.changed.begin(), need.changed.end(), id) != need.changed.end());
}

void test_refusals() {
  const auto tokenizer = load_tokenizer();
  const auto refused = [&](const std::function<void(Constraints*)>& change, const char* what) {
    Constraints constraints = constrain(tokenizer, {"final"});
    change(&constraints);
    const Status status = check_constraints(constraints, tokenizer->vocab_size());
    CHECK(status.code == Code::invalid_argument);
    if (status.message.find(what) == std::string::npos) check_failed(__FILE__, __LINE__, status.message);
  };
  CHECK_OK(check_constraints({}, 1));
  CHECK_OK(check_constraints(constrain(tokenizer, {"final"}), tokenizer->vocab_size()));
  refused([](Constraints* all) { all->tokenizer = nullptr; }, "tokenizer");
  refused([](Constraints* all) { all->content_id = -1; }, "content_id");
  refused([](Constraints* all) { all->part_ids = {1 << 30}; }, "part_ids");
  refused([](Constraints* all) { all->parts[0].header_words = {}; }, "words");
  refused([](Constraints* all) { all->parts[0].header_words = {""}; }, "not empty");
  CHECK(check_constraints(constrain(tokenizer, {"final"}), tokenizer->vocab_size() - 1).code == Code::invalid_argument);
  refused([](Constraints* all) { all->headers = {nullptr}; }, "header needs a grammar");
  refused([](Constraints* all) { all->parts[0].end_ids = {}; }, "end its part");
  refused([](Constraints* all) { all->parts[0].end_ids = {-5}; }, "end_ids");
}

}  // namespace

int main() {
  test_which_part();
  test_what_may_come();
  test_a_part_of_any_text();
  test_sampler_with_a_filter();
  test_heirs();
  test_headers();
  test_the_model_stays_in_the_grammar();
  test_thinking_ends_in_an_answer();
  test_refusals();
  return check_result();
}
