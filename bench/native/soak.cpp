// The scheduler under random load for as long as one likes: arrivals in bursts, prompts that share beginnings, all kinds of
// sampling, guesses from the text and from predictions that are right in part, with other limits every few rounds, cancels, and
// too little memory, so that sequences are thrown out and come back; half of them held to grammars. Every output must equal what
// the request gets alone and be of its grammars, every sequence ends once, and after each round no sequence, block or memory is
// left over.
//   soak MODEL [--minutes N] [--seed N] [--mode exact|bf16|fast] [--head auto|screened|exact] [--threads N]
// Builds with -DSWITCHYARD_BENCH=ON; under sanitizers with -DSWITCHYARD_SANITIZE=thread (or address,undefined) as well.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine.h"
#include "kv_cache.h"
#include "model.h"
#include "scheduler.h"
#include "soak_constraints.h"

#ifdef __linux__
#include <unistd.h>
#endif

using namespace switchyard;

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLongest = 700;     // of a prompt: several spans of attention
constexpr size_t kQuestion = 40;     // of these, what a constrained one ends with
constexpr int kMostGenerated = 240;
constexpr size_t kKnown = 16;        // requests whose outputs are known at a time
constexpr size_t kRefreshed = 4;     // of them replaced after every round
// Bytes that the process may grow by after its first rounds; sanitizers keep what was freed, and look for leaks themselves.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int64_t kLeak = int64_t(2) << 30;
#else
constexpr int64_t kLeak = 48 << 20;
#endif

int failures = 0;

void fail(const std::string& what) {
  if (++failures <= 20) std::fprintf(stderr, "soak: %s\n", what.c_str());
}

int64_t resident_bytes() {
#ifdef __linux__
  int64_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
#else
  return 0;
#endif
}

// What a sequence has got.
struct Answer {
  std::vector<int32_t> ids;
  Finish finish = Finish::none;
  size_t logprobs = 0;
};

// A scheduler, and what it delivered since the last round.
class Runner {
 public:
  Runner(Model* model, const SchedulerOptions& options) {
    if (const Status status = Scheduler::create(model, options, &scheduler_); !status.ok()) {
      std::fprintf(stderr, "soak: %s\n", status.message.c_str());
      std::exit(2);
    }
    scheduler_->start([this](std::vector<TokenEvent>&& events) { take(std::move(events)); });
  }
  ~Runner() { scheduler_.reset(); }  // before what its thread writes to

  // Cancelled once it has so many tokens.
  uint64_t submit(const GenerateRequest& request, size_t cancelled_at = SIZE_MAX) {
    uint64_t id = 0;
    if (const Status status = scheduler_->submit(request, &id); !status.ok()) {
      fail("refused: " + status.message);
      return 0;
    }
    const std::lock_guard lock(mutex_);
    ++submitted_;
    if (cancelled_at != SIZE_MAX) cancelled_at_[id] = cancelled_at;
    return id;
  }
  std::map<uint64_t, Answer> wait_all() {
    std::unique_lock lock(mutex_);
    ended_one_.wait(lock, [&] { return ended_ == submitted_; });
    cancelled_at_.clear();
    return std::exchange(answers_, {});
  }
  Scheduler& scheduler() { return *scheduler_; }

 private:
  void take(std::vector<TokenEvent>&& events) {
    const std::lock_guard lock(mutex_);
    for (TokenEvent& event : events) {
      Answer& answer = answers_[event.sequence];
      if (answer.finish != Finish::none) fail("something came after the last event");
      answer.ids.insert(answer.ids.end(), event.ids.begin(), event.ids.end());
      answer.logprobs += event.logprobs.size();
      answer.finish = event.finish;
      ended_ += event.finish != Finish::none;
      const auto cancelled = cancelled_at_.find(event.sequence);
      if (cancelled != cancelled_at_.end() && answer.ids.size() >= cancelled->second) scheduler_->cancel(event.sequence);
    }
    ended_one_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable ended_one_;
  std::map<uint64_t, Answer> answers_;
  std::map<uint64_t, size_t> cancelled_at_;
  size_t submitted_ = 0, ended_ = 0;
  std::unique_ptr<Scheduler> scheduler_;
};

struct Known {
  GenerateRequest request;
  Held held;
  Answer alone;
};

class Soak {
 public:
  Soak(Model* model, std::shared_ptr<const Tokenizer> tokenizer, uint32_t seed)
      : model_(*model), random_(seed), constraints_(std::move(tokenizer), &random_) {
    for (size_t i = 0; i < 6; ++i) beginnings_.push_back(tokens(32 + up_to(300)));
    lone_ = std::make_unique<Runner>(model, SchedulerOptions{.max_sequences = 1});
    while (known_.size() < kKnown) known_.push_back(make_known());
  }

  void round();
  void report(double seconds) const;
  bool grew() const { return rounds_ > kWarm && resident_bytes() > resident_ + kLeak; }
  size_t rounds() const { return rounds_; }

 private:
  static constexpr int kChunk = 48;
  static constexpr size_t kWarm = 5;  // rounds until caches have their size
  static constexpr size_t kSameOptions = 12;  // rounds that one scheduler serves

  size_t up_to(size_t most) { return random_() % (most + 1); }
  std::vector<int32_t> tokens(size_t count) {
    std::vector<int32_t> ids(count);
    for (int32_t& id : ids) id = int32_t(random_() % uint32_t(model_.weights->config().vocab_size));
    return ids;
  }
  void open_crowd();
  void close_crowd();
  Known make_request();
  Known make_known();
  void check(const Known& known, const Answer& answer);

  Model& model_;
  std::mt19937 random_;
  ConstraintMaker constraints_;
  std::unique_ptr<Runner> crowd_, lone_;
  std::vector<std::vector<int32_t>> beginnings_;
  std::vector<Known> known_;
  size_t rounds_ = 0, sequences_ = 0, cancelled_ = 0, constrained_ = 0, cancelled_in_part_ = 0;
  HeldCounts held_;
  int64_t tokens_ = 0, resident_ = 0, drafted_ = 0, accepted_ = 0, preemptions_ = 0;
};

// Half of them speculate on their own, the others from predictions only; most whether or not it pays.
void Soak::open_crowd() {
  const int64_t kv_bytes = KvCache::bytes_for(model_.weights->config(), kv_element_bytes(model_.mode),
                                              int64_t(kLongest) + kMostGenerated + 40, kChunk);
  const SchedulerOptions options{.max_sequences = 8,
                                 .prefill_chunk = kChunk,
                                 .kv_bytes = kv_bytes,
                                 .speculate = up_to(1) == 0 ? 0 : 1 + int(up_to(kMostDrafted - 1)),
                                 .always_speculate = up_to(2) > 0};
  crowd_ = std::make_unique<Runner>(&model_, options);
}

void Soak::close_crowd() {
  const EngineStats stats = crowd_->scheduler().stats();
  drafted_ += stats.tokens_drafted;
  accepted_ += stats.tokens_accepted;
  preemptions_ += crowd_->scheduler().preemptions();
  crowd_.reset();
}

Known Soak::make_request() {
  Known known;
  GenerateRequest& request = known.request;
  if (up_to(3) > 0) {
    request.prompt = beginnings_[up_to(beginnings_.size() - 1)];
    request.prefix_ends = {int32_t(request.prompt.size())};
  }
  for (const int32_t id : tokens(1 + up_to(up_to(4) == 0 ? 360 : 40))) request.prompt.push_back(id);
  if (!known_.empty() && up_to(3) == 0) {  // a further turn of an earlier one
    const Known& before = known_[up_to(known_.size() - 1)];
    request.prompt = before.request.prompt;
    request.prompt.insert(request.prompt.end(), before.alone.ids.begin(), before.alone.ids.end());
    for (const int32_t id : tokens(1 + up_to(20))) request.prompt.push_back(id);
  }
  request.prompt.resize(std::min(request.prompt.size(), kLongest));
  request.max_tokens = 1 + int(up_to(kMostGenerated - 1));
  SamplingParams& sampling = request.sampling;
  sampling.seed = random_();
  sampling.temperature = float(up_to(3)) * 0.5f;
  if (up_to(2) == 0) sampling.top_p = 0.7f;
  if (up_to(3) == 0) sampling.top_k = 1 + int(up_to(50));
  if (up_to(3) == 0) sampling.min_p = 0.05f;
  if (up_to(3) == 0) sampling.frequency_penalty = 0.5f, sampling.presence_penalty = -0.3f;
  if (up_to(3) == 0) sampling.repetition_penalty = 1.2f;
  if (up_to(4) == 0) sampling.logit_bias = {{tokens(1)[0], 3.0f}};
  if (up_to(4) == 0) sampling.top_logprobs = int(up_to(5));
  if (up_to(2) == 0) request.stop_ids = tokens(3);
  if (up_to(4) == 0) request.never_ids = tokens(3);
  if (up_to(1) == 0) {
    request.prompt.resize(std::min(request.prompt.size(), kLongest - kQuestion));
    known.held = constraints_.constrain(&request);
  }
  return known;
}

Known Soak::make_known() {
  Known known = make_request();
  const uint64_t id = lone_->submit(known.request);
  known.alone = lone_->wait_all()[id];
  if (known.alone.finish != Finish::stop && known.alone.finish != Finish::length) fail("a sequence alone has no answer");
  if (up_to(2) > 0) {  // guesses that are right in part
    known.request.predicted = known.alone.ids;
    for (size_t wrong = up_to(4); wrong > 0; --wrong)
      known.request.predicted[up_to(known.request.predicted.size() - 1)] = tokens(1)[0];
  }
  return known;
}

void Soak::check(const Known& known, const Answer& answer) {
  const std::vector<int32_t>& alone = known.alone.ids;
  const bool is_beginning =
      answer.ids.size() <= alone.size() && std::equal(answer.ids.begin(), answer.ids.end(), alone.begin());
  if (!is_beginning) fail("an output differs from the one that its request gets alone");
  HeldCounts counts;
  const std::string wrong = constraints_.check(known.held, answer.ids, answer.finish, &counts);
  if (!wrong.empty()) fail(wrong);
  held_ += counts;
  constrained_ += !known.request.constraints.empty();
  if (answer.finish == Finish::cancelled) {
    ++cancelled_;
    cancelled_in_part_ += counts.cut;
  } else if (answer.finish != known.alone.finish || answer.ids.size() != alone.size()) {
    fail("a sequence ended otherwise than alone");
  }
  if (known.request.sampling.top_logprobs >= 0 && answer.logprobs != answer.ids.size()) fail("logprobs are missing");
  tokens_ += int64_t(answer.ids.size());
}

// Sequences in bursts, then silence.
void Soak::round() {
  if (!crowd_) open_crowd();
  std::map<uint64_t, size_t> submitted;
  std::vector<uint64_t> ids;
  for (size_t count = 10 + up_to(40); count > 0; --count) {
    const size_t which = up_to(known_.size() - 1);
    const size_t cancelled_at = up_to(5) == 0 ? 1 + up_to(kMostGenerated / 2) : SIZE_MAX;
    const uint64_t id = crowd_->submit(known_[which].request, cancelled_at);
    submitted[id] = which;
    ids.push_back(id);
    if (up_to(5) == 0) crowd_->scheduler().cancel(ids[up_to(ids.size() - 1)]);
    if (up_to(2) == 0) std::this_thread::sleep_for(std::chrono::microseconds(up_to(20'000)));
  }
  const std::map<uint64_t, Answer> answers = crowd_->wait_all();
  for (const auto& [id, which] : submitted) {
    const auto answer = answers.find(id);
    if (answer == answers.end() || answer->second.finish == Finish::none) {
      fail("a sequence never ended");
    } else {
      check(known_[which], answer->second);
    }
  }
  const EngineStats stats = crowd_->scheduler().stats();
  if (stats.tokens_accepted > stats.tokens_drafted) fail("more guesses came true than were made");
  if (stats.running + stats.waiting != 0) fail("sequences are left over");
  if (stats.kv_tokens_used != 0) fail("blocks are left over");
  sequences_ += submitted.size();
  if (++rounds_ == kWarm) resident_ = resident_bytes();
  if (rounds_ % kSameOptions == 0) close_crowd();
  for (size_t i = 0; i < kRefreshed; ++i) known_[up_to(known_.size() - 1)] = make_known();
}

void Soak::report(double seconds) const {
  int64_t drafted = drafted_, accepted = accepted_, preemptions = preemptions_;
  if (crowd_) {
    const EngineStats stats = crowd_->scheduler().stats();
    drafted += stats.tokens_drafted;
    accepted += stats.tokens_accepted;
    preemptions += crowd_->scheduler().preemptions();
  }
  std::printf(
      "{\"seconds\":%.0f,\"rounds\":%zu,\"sequences\":%zu,\"cancelled\":%zu,\"preemptions\":%lld,\"tokens\":%lld,"
      "\"constrained\":%zu,\"headers\":%zu,\"parts\":%zu,\"texts\":%zu,\"cut\":%zu,\"cancelled_in_part\":%zu,"
      "\"drafted\":%lld,\"accepted\":%lld,\"rss_mb\":%lld,\"rss_growth_mb\":%lld,\"failures\":%d}\n",
      seconds, rounds_, sequences_, cancelled_, static_cast<long long>(preemptions), static_cast<long long>(tokens_),
      constrained_, held_.headers, held_.whole, held_.free, held_.cut, cancelled_in_part_, static_cast<long long>(drafted),
      static_cast<long long>(accepted), static_cast<long long>(resident_bytes() >> 20),
      static_cast<long long>((resident_bytes() - resident_) >> 20), failures);
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** words) {
  EngineOptions options;
  options.mode = "exact";
  double minutes = 1;
  uint32_t seed = 1;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const char* value = i + 1 < count ? words[i + 1] : "";
    if (word == "--minutes") minutes = std::strtod(value, nullptr), ++i;
    else if (word == "--seed") seed = uint32_t(std::strtoul(value, nullptr, 10)), ++i;
    else if (word == "--mode") options.mode = value, ++i;
    else if (word == "--head") options.head = value, ++i;
    else if (word == "--threads") options.threads = int(std::strtol(value, nullptr, 10)), ++i;
    else options.model_path = word;
  }
  if (options.model_path.empty() || !(minutes > 0)) {
    std::fprintf(stderr,
                 "usage: soak MODEL [--minutes N] [--seed N] [--mode exact|bf16|fast] [--head auto|screened|exact] "
                 "[--threads N]\n");
    return 2;
  }
  std::unique_ptr<Model> model;
  if (const Status status = Model::load(options, {}, &model); !status.ok()) {
    std::fprintf(stderr, "soak: %s\n", status.message.c_str());
    return 2;
  }
  std::unique_ptr<Tokenizer> tokenizer;
  if (const Status status = Tokenizer::load(options.model_path + "/tokenizer.json", &tokenizer); !status.ok()) {
    std::fprintf(stderr, "soak: %s\n", status.message.c_str());
    return 2;
  }
  const auto begin = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  Soak soak(model.get(), std::move(tokenizer), seed);
  for (double told = 0; seconds() < minutes * 60 && failures == 0;) {
    soak.round();
    if (soak.grew()) fail("the process grew");
    if (seconds() - told < 10) continue;
    told = seconds();
    soak.report(told);
  }
  soak.report(seconds());
  return failures == 0 ? 0 : 1;
}
