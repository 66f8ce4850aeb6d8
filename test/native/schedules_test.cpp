// Random schedules on models of many windows and kinds of layers: prompts that share beginnings, ends that nobody can use,
// too little memory, cancels at any time. Every sequence gets what it gets alone. `schedules_test N` for N rounds.
#include <filesystem>
#include <random>

#include "scheduler_fixture.h"

using namespace switchyard;
namespace fs = std::filesystem;

namespace {

// tiny-a, which has three layers, with other windows and kinds of layers.
class Variant {
 public:
  Variant(int window, const std::string& kinds)
      : folder_(fs::temp_directory_path() / ("switchyard-variant-" + std::to_string(std::random_device()()))) {
    fs::create_directory(folder_);
    fs::copy(golden_folder() + "tiny-a/hf", folder_);
    std::string config = read_text(folder_ / "config.json"), types;
    for (const char kind : kinds)
      types += std::string(types.empty() ? "" : ",") + (kind == 's' ? "\"sliding_attention\"" : "\"full_attention\"");
    replace(&config, "\"sliding_window\":", ",", std::to_string(window));
    replace(&config, "\"layer_types\":", "]", "[" + types);
    write_text(folder_ / "config.json", config);
  }
  ~Variant() { fs::remove_all(folder_); }
  Variant(const Variant&) = delete;
  Variant& operator=(const Variant&) = delete;
  std::string folder() const { return folder_; }

 private:
  static void replace(std::string* text, const std::string& key, const std::string& until, const std::string& value) {
    const size_t begin = text->find(key), end = text->find(until, begin);
    if (CHECK(begin != std::string::npos && end != std::string::npos))
      text->replace(begin + key.size(), end - begin - key.size(), value);
  }
  fs::path folder_;
};

struct Known {
  GenerateRequest request;
  std::vector<int32_t> ids;  // what it gets alone
};

// Prompts around the size of a block and longer ones that go on from each other's beginnings and answers.
std::vector<Known> known_requests(Model* model, std::mt19937* random) {
  const int vocab = model->weights->config().vocab_size;
  std::vector<Known> known;
  for (const size_t length : {1, 31, 32, 33, 63, 96, 150, 0, 0, 0, 0}) {
    std::vector<int32_t> prompt = random_prompt(length, vocab, (*random)());
    if (length == 0) {
      const Known& before = known[(*random)() % known.size()];
      prompt = before.request.prompt;
      prompt.insert(prompt.end(), before.ids.begin(), before.ids.end());
      prompt.resize(std::min<size_t>(prompt.size(), 1 + (*random)() % 200));
      for (const int32_t id : random_prompt(1 + (*random)() % 20, vocab, (*random)())) prompt.push_back(id);
    }
    GenerateRequest request = request_of(std::move(prompt), 1 + int((*random)() % 40), (*random)());
    request.sampling.temperature = float((*random)() % 2);
    const std::vector<int32_t> alone = run_alone(model, request).ids;
    known.push_back({std::move(request), alone});
  }
  return known;
}

size_t run_round(Model* model, const std::vector<Known>& known, std::mt19937* random) {
  const auto up_to = [&](size_t most) { return (*random)() % (most + 1); };
  SchedulerOptions options{.max_sequences = 1 + int(up_to(5)), .prefill_chunk = 1 + int(up_to(70))};
  options.kv_bytes = KvCache::bytes_for(model->weights->config(), kv_element_bytes(model->mode), 270 + int64_t(up_to(400)),
                                        options.prefill_chunk);
  Runner runner(model, options);
  std::vector<std::pair<uint64_t, size_t>> submitted;
  for (size_t count = 5 + up_to(12); count > 0; --count) {
    const size_t which = up_to(known.size() - 1);
    GenerateRequest request = known[which].request;
    for (size_t ends = up_to(4); ends > 0; --ends)
      request.prefix_ends.push_back(up_to(3) ? int32_t(up_to(250)) : int32_t((*random)()));
    submitted.emplace_back(runner.submit(request), which);
    const uint64_t any = submitted[up_to(submitted.size() - 1)].first;
    if (up_to(4) == 0) runner.scheduler().cancel(any);
    if (up_to(4) == 0) runner.wait_for(any, up_to(8));
    if (up_to(9) == 0) runner.wait_all();
  }
  runner.wait_all();
  size_t hits = 0;
  for (const auto& [id, which] : submitted) {
    const Answer answer = runner.answer(id);
    const std::vector<int32_t>& alone = known[which].ids;
    hits += answer.cached_tokens > 0;
    CHECK_EQ(answer.endings, 1);
    CHECK(answer.finish == Finish::cancelled || answer.ids.size() == alone.size());
    CHECK(answer.ids.size() <= alone.size() && std::equal(answer.ids.begin(), answer.ids.end(), alone.begin()));
  }
  const EngineStats stats = runner.scheduler().stats();
  CHECK_EQ(stats.kv_tokens_used, 0);
  CHECK_EQ(stats.running + stats.waiting, 0);
  return hits;
}

// A prompt that is thrown out while it is read, by earlier ones that grow, finds its own beginning again when it comes back.
// That was computed for it, not cached. Room for 14 blocks a layer: the prompt has eight when the others need their third.
void check_cached_tokens_of_preempted() {
  const Variant variant(8, "fff");
  const auto model = load(variant.folder());
  if (!model) return;
  const int vocab = model->weights->config().vocab_size;
  const int64_t kv_bytes = KvCache::bytes_for(model->weights->config(), kv_element_bytes(model->mode), 14 * 32, 4);
  Runner runner(model.get(), {.max_sequences = 4, .prefill_chunk = 4, .kv_bytes = kv_bytes});
  for (uint32_t i = 0; i < 3; ++i) runner.submit(request_of(random_prompt(1, vocab, i), 90, i));
  GenerateRequest request = request_of(random_prompt(300, vocab, 3), 1);
  for (int32_t end = 32; end < 300; end += 32) request.prefix_ends.push_back(end);
  const uint64_t id = runner.submit(request);
  runner.wait_all();
  CHECK(runner.scheduler().preemptions() > 0);
  CHECK(runner.scheduler().stats().tokens_prefilled < 303 + 200);  // it did find some
  CHECK_EQ(runner.answer(id).cached_tokens, 0);
}

}  // namespace

int main(int count, char** arguments) {
  const size_t rounds = count > 1 ? std::stoul(arguments[1]) : 3;
  check_cached_tokens_of_preempted();
  std::mt19937 random(count > 2 ? uint32_t(std::stoul(arguments[2])) : 1);
  const char* const modes[] = {"fast", "bf16", "exact"};
  for (const auto& [window, kinds] : std::vector<std::pair<int, std::string>>{
           {1, "sfs"}, {7, "fss"}, {16, "sss"}, {20, "sfs"}, {33, "ffs"}, {128, "sfs"}, {100000, "sfs"}, {8, "fff"}}) {
    const Variant variant(window, kinds);
    const auto model = load(variant.folder(), modes[random() % 3]);
    if (!model) continue;
    model->max_context = 256;
    const std::vector<Known> known = known_requests(model.get(), &random);
    size_t hits = 0;
    for (size_t round = 0; round < rounds; ++round) hits += run_round(model.get(), known, &random);
    CHECK(hits > 0);
  }
  return check_result();
}
