// Speculation: where guesses come from, when they are worth it, and that nobody can tell from the tokens whether they were
// made: every mode, every kind of sampling, right and wrong guesses, ends in the middle of them, little memory, cancels.
#include "scheduler_fixture.h"
#include "speculation.h"

using namespace switchyard;

namespace {

std::vector<int32_t> ids(const std::string& text) { return {text.begin(), text.end()}; }

void test_lookup() {
  NgramIndex index;
  const auto find = [&](const std::string& text) {
    const std::vector<int32_t> tokens = ids(text);
    index.add(tokens, tokens.size() - 1);
    return index.find(tokens, tokens);
  };
  CHECK_EQ(find("a").length, size_t(0));
  CHECK_EQ(find("abc").length, size_t(0));
  CHECK_EQ(find("abcdab").at, size_t(2));
  CHECK_EQ(find("abcdabc").at, size_t(3));  // the text may only grow: the index goes on
  CHECK_EQ(find("abcdabc").length, size_t(3));

  // The longest match, not the newest; of equals the newest.
  NgramIndex other;
  const std::vector<int32_t> tokens = ids("xyab1 yab2 ab3 xyab");
  other.add(tokens, tokens.size() - 1);
  CHECK_EQ(other.find(tokens, tokens).at, size_t(4));
  CHECK_EQ(other.find(tokens, ids("zzab")).at, size_t(13));
  CHECK_EQ(other.find(tokens, ids("b")).length, size_t(0));

  // Thousands of tokens: the tables grow, and a match counts up to its limit.
  std::vector<int32_t> longer = random_prompt(5000, 1 << 30, 1);
  NgramIndex big;
  for (size_t end = 100; end <= 5000; end += 700) big.add(std::span<const int32_t>(longer).first(end), end);
  const std::vector<int32_t> middle(longer.begin() + 900, longer.begin() + 1000);
  CHECK_EQ(big.find(longer, middle).at, size_t(1000));
  CHECK_EQ(big.find(longer, middle).length, NgramIndex::kLongest);
}

void test_drafts() {
  const auto draft = [](const std::string& text, const std::string& predicted, size_t most) {
    Drafter drafter;
    drafter.guess(ids(text), most, ids(predicted), most);
    CHECK(drafter.draft().empty() || drafter.is_predicted() == (predicted.find(text.substr(text.size() - 2)) != std::string::npos));
    return std::string(drafter.draft().begin(), drafter.draft().end());
  };
  CHECK_EQ(draft("one two, one t", "", 4), "wo, ");
  CHECK_EQ(draft("ababab", "", 5), "ababa");  // over the end: what repeats goes on
  CHECK_EQ(draft("nothing like it", "do it now", 8), " now");
  CHECK_EQ(draft("one two, one t", "a one too", 3), "oo");  // the longer match
  CHECK_EQ(draft("xq", "abc", 8), "");
  CHECK_EQ(draft("abab", "", 0), "");
  CHECK_EQ(draft("", "abc", 4), "");

  // What is predicted is looked at where a sequence's own text is not, and the other way round.
  Drafter predicting;
  predicting.guess(ids("one two, one t"), 0, ids("one two, too"), 5);
  CHECK(predicting.draft() == ids("wo, t") && predicting.is_predicted());
  predicting.guess(ids("one two, one two, x, one t"), 3, ids("one two, too"), 0);
  CHECK(predicting.draft() == ids("wo,") && !predicting.is_predicted());
  // Its end is no guess, and what came after an equal beginning of the text itself is one.
  predicting.guess(ids("one two, one two, x, one two, too x too"), 3, ids("one two, too"), 3);
  CHECK(predicting.draft() == ids(" x ") && !predicting.is_predicted());

  // Behind a token that is another one than predicted the rest is guessed as it stands there, until that proves wrong.
  Drafter replaced;
  const std::vector<int32_t> expected = ids("abcdefghijkl");
  replaced.guess(ids("ab"), 0, expected, 3);
  CHECK(replaced.draft() == ids("cde"));
  replaced.learn(ids("cX"));
  replaced.guess(ids("abcX"), 0, expected, 3);
  CHECK(replaced.draft() == ids("efg") && replaced.is_predicted());
  const double hope = replaced.chance(0);
  CHECK(hope < replaced.chance(1));
  replaced.learn(ids("Y"));
  replaced.guess(ids("abcXY"), 0, expected, 3);
  CHECK(replaced.draft() == ids("fgh") && replaced.chance(0) < hope);
  replaced.guess(ids("abcXYcd"), 0, expected, 3);  // a match is worth more
  CHECK(replaced.draft() == ids("efg"));
  replaced.guess(ids("abcXYcd12345678"), 0, expected, 3);  // beyond its end
  CHECK(replaced.draft().empty());
  Drafter astray;
  astray.guess(ids("xy"), 0, expected, 3);
  CHECK(astray.draft().empty());

  Drafter drafter;
  // A drafter learns, also of guesses that were not run: of a text that never repeats itself it expects nothing.
  drafter.guess(ids("ab12ab"), 1, {}, 0);
  const double before = drafter.chance(0);
  for (int i = 0; i < 50; ++i) drafter.learn(ids("x"));
  CHECK(drafter.chance(0) < 0.1 && before > 0.3);
  // Of what a caller predicts it has an opinion of its own.
  drafter.guess(ids("ab12ab"), 0, ids("cab3"), 1);
  CHECK(drafter.chance(0) > 0.5);
  drafter.guess(ids("ab12ab"), 1, {}, 0);
  for (int i = 0; i < 50; ++i) drafter.learn(ids("1"));
  CHECK(drafter.chance(0) > 0.9);
}

void test_worth() {
  Drafter likely, unlikely;
  std::vector<int32_t> text = random_prompt(40, 1000, 1), twice = text;
  twice.insert(twice.end(), text.begin(), text.begin() + 20);
  likely.guess(twice, 8, {}, 0);
  CHECK(likely.chance(0) > 0.85);
  unlikely.guess(ids("ab12ab"), 8, {}, 0);
  for (int i = 0; i < 30; ++i) unlikely.learn(ids("x"));
  const std::vector<const Drafter*> both{&likely, &unlikely};

  // Rows that cost nothing are all taken, dear ones none, and those between go to the likelier draft first.
  const StepCosts free_rows({1, 1, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06}), dear_rows({0, 1, 2, 3, 4, 5, 6, 7});
  StepCosts some({0, 1, 1.3, 1.6, 1.9, 2.2, 2.5, 2.8, 3.1});
  CHECK(share_drafts(both, 2, free_rows)[0] == 5);
  CHECK(share_drafts(both, 2, dear_rows) == std::vector<size_t>(2, 0));
  CHECK(share_drafts(both, 7, free_rows) == std::vector<size_t>(2, 0));   // a full step
  CHECK(share_drafts(both, 20, free_rows) == std::vector<size_t>(2, 0));  // beyond it
  likely.guess(twice, 3, {}, 0);
  const std::vector<size_t> shares = share_drafts(both, 2, some);
  CHECK(shares[0] == 3 && shares[1] == 0);

  // What steps really take counts, in any unit; one slow step does not.
  some.saw(1, 0.010);
  CHECK(some.of(2) > 0.0129 && some.of(2) < 0.0131);
  for (int i = 0; i < 20; ++i) some.saw(2, 0.020);
  CHECK(some.of(2) > 0.0195);
  some.saw(4, 5.0);
  CHECK(some.of(4) < 0.1);
  for (int i = 0; i < 1000; ++i) some.saw(1, 0.010);
  CHECK(some.of(4) < 0.025);  // forgotten
}

struct Case {
  GenerateRequest request;
  Answer alone;
};

std::vector<Case> cases(Model* model) {
  const int vocab = model->weights->config().vocab_size;
  const std::vector<SamplingParams> sampling = {
      {.temperature = 0},
      {.temperature = 1, .seed = 3},
      {.temperature = 0.7f, .top_k = 8, .seed = 4},
      {.temperature = 1.2f, .min_p = 0.02f, .seed = 5},
      {.temperature = 1, .top_p = 0.9f, .seed = 6},
      {.temperature = 0, .frequency_penalty = 0.7f, .repetition_penalty = 1.2f, .logit_bias = {{7, 3.0f}, {9, -50.0f}}},
      {.temperature = 1, .seed = 7, .top_logprobs = 3},
      {.temperature = 1, .seed = 8, .presence_penalty = 1.5f, .top_logprobs = 0},
  };
  std::vector<Case> list;
  for (size_t i = 0; i < sampling.size(); ++i) {
    GenerateRequest request = request_of(random_prompt(5 + 11 * i, vocab, uint32_t(i)), 70);
    request.sampling = sampling[i];
    request.never_ids = {11, 12, 13};
    Answer alone = run_alone(model, request);
    CHECK_EQ(alone.drafted_tokens, 0);
    list.push_back({std::move(request), std::move(alone)});
  }
  return list;
}

bool same(const std::vector<TokenLogprob>& a, const std::vector<TokenLogprob>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const TokenLogprob& one, const TokenLogprob& other) {
    return one.logprob == other.logprob && one.top == other.top;
  });
}

// The answer itself, with every `period`-th token changed; 0: none.
std::vector<int32_t> guess_of(const Answer& answer, size_t period) {
  std::vector<int32_t> predicted = answer.ids;
  for (size_t i = period; period > 0 && i < predicted.size(); i += period) predicted[i] = predicted[i] == 1 ? 2 : 1;
  return predicted;
}

void check_same(const Answer& answer, const Answer& alone) {
  CHECK(answer.ids == alone.ids);
  CHECK(same(answer.logprobs, alone.logprobs));
  CHECK(answer.finish == alone.finish);
  CHECK_EQ(answer.endings, 1);
  CHECK(answer.accepted_tokens <= answer.drafted_tokens);
}

std::unique_ptr<Model> load_screened(const std::string& mode) {
  EngineOptions options;
  options.model_path = golden_folder() + "tiny-b/hf";
  options.mode = mode;
  options.head = mode == "exact" ? "exact" : "screened";
  options.threads = 2;
  std::unique_ptr<Model> model;
  CHECK_OK(Model::load(options, {}, &model));
  return model;
}

void test_same_tokens(const std::string& mode) {
  const auto model = load_screened(mode);
  if (!model) return;
  const auto list = cases(model.get());
  for (const int speculate : {1, 4, 15}) {
    const SchedulerOptions options{.max_sequences = 1, .speculate = speculate, .always_speculate = true};
    for (const size_t period : {0, 2, 7}) {
      for (const Case& wanted : list) {
        GenerateRequest request = wanted.request;
        request.predicted = guess_of(wanted.alone, period);
        Runner runner(model.get(), options);
        const uint64_t id = runner.submit(request);
        runner.wait_all();
        const Answer answer = runner.answer(id);
        check_same(answer, wanted.alone);
        const EngineStats stats = runner.scheduler().stats();
        CHECK_EQ(stats.tokens_generated, int64_t(answer.ids.size()));
        CHECK_EQ(stats.tokens_drafted, int64_t(answer.drafted_tokens));
        CHECK_EQ(stats.tokens_accepted, int64_t(answer.accepted_tokens));
        if (period == 2) CHECK(answer.drafted_tokens > answer.accepted_tokens);
        if (period != 0) continue;
        // All guesses are right: far fewer steps than tokens.
        CHECK(answer.accepted_tokens * (speculate + 1) >= (int(answer.ids.size()) - 3 * speculate - 8) * speculate);
        CHECK(answer.events <= int(answer.ids.size()) - answer.accepted_tokens);
      }
    }
  }
  // Together, with a place for not all of them.
  Runner runner(model.get(), {.max_sequences = 5, .prefill_chunk = 16, .speculate = 6, .always_speculate = true});
  std::vector<uint64_t> submitted;
  for (size_t i = 0; i < list.size(); ++i) {
    GenerateRequest request = list[i].request;
    request.predicted = guess_of(list[i].alone, i % 4 * 3);
    submitted.push_back(runner.submit(request));
  }
  runner.wait_all();
  for (size_t i = 0; i < list.size(); ++i) check_same(runner.answer(submitted[i]), list[i].alone);
  CHECK(runner.scheduler().stats().tokens_accepted > 50);
  CHECK_EQ(runner.scheduler().stats().kv_tokens_used, 0);
}

// Where speculation is off, what a caller predicts is the only source of guesses, and of nobody else's.
void test_predicted_alone(const std::string& mode) {
  const auto model = load_screened(mode);
  if (!model) return;
  const auto list = cases(model.get());
  Runner runner(model.get(), {.max_sequences = 3, .always_speculate = true});
  std::vector<uint64_t> submitted;
  for (size_t i = 0; i < list.size(); ++i) {
    GenerateRequest request = list[i].request;
    if (i % 3 > 0) request.predicted = guess_of(list[i].alone, i % 3 == 1 ? 0 : 4);
    submitted.push_back(runner.submit(request));
  }
  runner.wait_all();
  for (size_t i = 0; i < list.size(); ++i) {
    const Answer answer = runner.answer(submitted[i]);
    check_same(answer, list[i].alone);
    CHECK_EQ(answer.predicted_drafted, answer.drafted_tokens);
    CHECK_EQ(answer.predicted_accepted, answer.accepted_tokens);
    if (i % 3 == 0) CHECK_EQ(answer.drafted_tokens, 0);
    if (i % 3 == 1) CHECK(answer.accepted_tokens > int(answer.ids.size()) / 2);
    if (i % 3 == 2) CHECK(answer.drafted_tokens > answer.accepted_tokens && answer.accepted_tokens > 0);
  }
  // Beside the guesses from the text itself they are counted apart.
  Runner both(model.get(), {.max_sequences = 1, .speculate = 3, .always_speculate = true});
  GenerateRequest request = list[0].request;
  request.predicted = guess_of(list[0].alone, 9);
  const Answer answer = both.answer((both.submit(request), both.wait_all(), 1));
  check_same(answer, list[0].alone);
  CHECK(answer.predicted_accepted > 0 && answer.predicted_drafted <= answer.drafted_tokens);
}

// A last token anywhere inside a guess that is right beyond it.
void test_ends() {
  const auto model = load(golden_folder() + "tiny-a/hf", "fast");
  if (!model) return;
  GenerateRequest request = request_of(random_prompt(20, model->weights->config().vocab_size, 5), 40);
  const Answer whole = run_alone(model.get(), request);
  request.predicted = whole.ids;
  const SchedulerOptions options{.max_sequences = 1, .speculate = 7, .always_speculate = true};
  for (int most = 1; most <= 40; ++most) {
    request.max_tokens = most;
    Runner runner(model.get(), options);
    const Answer by_length = runner.answer((runner.submit(request), runner.wait_all(), 1));
    CHECK(std::equal(by_length.ids.begin(), by_length.ids.end(), whole.ids.begin()));
    CHECK_EQ(by_length.ids.size(), size_t(most));
    CHECK(by_length.finish == Finish::length);
  }
  request.max_tokens = 0;  // the context's end
  model->max_context = 20 + 33;
  CHECK(run_alone(model.get(), request).ids.size() == 33);
  Runner to_end(model.get(), options);
  CHECK_EQ(to_end.answer((to_end.submit(request), to_end.wait_all(), 1)).ids.size(), size_t(33));
  for (size_t at = 0; at < 30; ++at) {
    request.stop_ids = {whole.ids[at]};
    const Answer alone = run_alone(model.get(), request);
    Runner runner(model.get(), options);
    check_same(runner.answer((runner.submit(request), runner.wait_all(), 1)), alone);
    CHECK(alone.finish == Finish::stop);
    // What the ended sequence leaves to the next turn is what it would have left without guesses.
    GenerateRequest next = request_of(request.prompt, 4);
    next.prompt.insert(next.prompt.end(), alone.ids.begin(), alone.ids.end());
    next.prompt.push_back(3);
    Runner plain(model.get(), {.max_sequences = 1});
    GenerateRequest unguessed = request;
    unguessed.predicted.clear();
    plain.submit(unguessed);
    plain.wait_all();
    const Answer after_plain = plain.answer((plain.submit(next), plain.wait_all(), 2));
    const Answer after = runner.answer((runner.submit(next), runner.wait_all(), 2));
    CHECK(after.ids == after_plain.ids);
    CHECK(after.cached_tokens >= after_plain.cached_tokens);  // of a step that went further, more is left
  }
}

// Too little memory for all: sequences are thrown out and come back; others are cancelled among guesses.
void test_little_memory(const std::string& mode) {
  const auto model = load(golden_folder() + "tiny-a/hf", mode);
  if (!model) return;
  auto list = cases(model.get());
  std::reverse(list.begin(), list.end());  // the longest first
  for (const int chunk : {1, 16}) {
    SchedulerOptions options{.max_sequences = 4, .prefill_chunk = chunk, .speculate = 9, .always_speculate = true};
    options.kv_bytes = KvCache::bytes_for(model->weights->config(), kv_element_bytes(model->mode), 160, chunk);
    Runner runner(model.get(), options);
    std::vector<uint64_t> submitted;
    for (size_t i = 0; i < list.size(); ++i) {
      list[i].request.predicted = guess_of(list[i].alone, i % 3 * 4);
      submitted.push_back(runner.submit(list[i].request));
    }
    runner.wait_for(submitted[2], 3);
    runner.scheduler().cancel(submitted[2]);
    runner.wait_all();
    for (size_t i = 0; i < list.size(); ++i) {
      const Answer answer = runner.answer(submitted[i]);
      if (answer.finish != Finish::cancelled) check_same(answer, list[i].alone);
      CHECK(answer.ids.size() <= list[i].alone.ids.size());
      CHECK(std::equal(answer.ids.begin(), answer.ids.end(), list[i].alone.ids.begin()));
    }
    CHECK(runner.scheduler().preemptions() > 0);
    CHECK_EQ(runner.scheduler().stats().kv_tokens_used, 0);
  }
}

// By itself the scheduler guesses where it pays, and hardly where it never does.
void test_by_itself() {
  const auto model = load(golden_folder() + "tiny-a/hf", "fast");
  if (!model) return;
  const auto list = cases(model.get());
  Runner runner(model.get(), {.max_sequences = 2, .speculate = 4});
  std::vector<uint64_t> submitted;
  for (const Case& wanted : list) submitted.push_back(runner.submit(wanted.request));
  runner.wait_all();
  for (size_t i = 0; i < list.size(); ++i) check_same(runner.answer(submitted[i]), list[i].alone);
}

void test_options() {
  const auto model = load(golden_folder() + "tiny-a/hf", "fast");
  if (!model) return;
  std::unique_ptr<Scheduler> scheduler;
  for (const int wrong : {-1, int(kMostDrafted) + 1}) {
    const Status status = Scheduler::create(model.get(), {.speculate = wrong}, &scheduler);
    CHECK(status.code == Code::invalid_argument && status.message.find("speculate") != std::string::npos);
  }
  CHECK_OK(Scheduler::create(model.get(), {.speculate = 3}, &scheduler));
  GenerateRequest request = request_of({1, 2, 3}, 4);
  request.predicted = {1, -2};
  uint64_t id = 0;
  CHECK(scheduler->submit(request, &id).message.find("predicted[1]") != std::string::npos);
}

}  // namespace

int main() {
  test_lookup();
  test_drafts();
  test_worth();
  for (const char* mode : {"exact", "bf16", "fast"}) test_same_tokens(mode);
  for (const char* mode : {"exact", "fast"}) test_predicted_alone(mode);
  test_ends();
  for (const char* mode : {"exact", "fast"}) test_little_memory(mode);
  test_by_itself();
  test_options();
  return check_result();
}
