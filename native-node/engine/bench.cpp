// `switchyard bench`: the model alone, without scheduler, tokenizer or network.
// Every sequence is fed its own random tokens (one token for all would send all to the same experts). Speed is compared
// with a plain read of the same weights in the same process, taken right before each run: memory bandwidth differs from
// one allocation and one minute to the next, so absolute numbers of two processes cannot be compared.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <random>
#include <thread>

#include "engine.h"
#include "forward.h"
#include "memory.h"
#include "model.h"
#include "resident.h"
#include "speculation.h"

namespace switchyard {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Status check(const BenchOptions& options) {
  const auto outside = [](const char* name, const char* range) {
    return Status::error(Code::invalid_argument, std::string(name) + " must be " + range);
  };
  if (options.cases.empty() || options.cases.size() > 1000) return outside("cases", "1 to 1000");
  for (const BenchCase& wanted : options.cases) {
    if (wanted.tokens < 1 || wanted.tokens > 1 << 20) return outside("tokens", "1 to 1048576");
    if (wanted.batch < 1 || wanted.batch > 4096) return outside("batch", "1 to 4096");
    if (wanted.drafted < 0 || wanted.drafted > int(kMostDrafted))
      return outside("drafted", ("0 to " + std::to_string(kMostDrafted)).c_str());
    if (wanted.depth < 0 || wanted.depth > 1 << 24) return outside("depth", "0 or more");
  }
  if (options.repetitions < 1 || options.repetitions > 1000) return outside("repetitions", "1 to 1000");
  if (options.engine.prefill_chunk < 1 || options.engine.prefill_chunk > 65536)
    return outside("prefill_chunk", "1 to 65536");
  return {};
}

using Pieces = std::vector<std::pair<const uint8_t*, size_t>>;

void add_pieces(const void* data, size_t bytes, Pieces* pieces) {
  constexpr size_t kPiece = 1 << 20;
  for (size_t at = 0; at < bytes; at += kPiece)
    pieces->emplace_back(static_cast<const uint8_t*>(data) + at, std::min(kPiece, bytes - at));
}

// A thread that computes for as long as it lives: another program, as far as the kernel's scheduler knows.
class BusyNeighbour {
 public:
  explicit BusyNeighbour(bool wanted) {
    if (wanted) {
      thread_ = std::thread([this] {
        while (!stopping_.load(std::memory_order_relaxed)) {
        }
      });
    }
  }
  ~BusyNeighbour() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

class Bench {
 public:
  explicit Bench(const BenchOptions& options) : options_(options), results_(options.cases.size()) {}

  Status load(const Engine::Progress& progress);
  void measure(size_t index);  // one repetition of a case
  void describe(BenchReport* report);

 private:
  struct Spent {
    double seconds, bytes;
  };
  struct Result {
    std::vector<double> speeds, streams, bytes, ratios;
  };
  double read(const Pieces& pieces);
  double best_read();
  void fill_to_depth(const BenchCase& wanted);
  Spent prefill(const BenchCase& wanted);
  Spent generate(const BenchCase& wanted);
  BenchRun summary(size_t index) const;
  bool screens(const BenchCase& wanted) const {
    return model_->head && !wanted.exact_head && size_t(wanted.batch * (1 + wanted.drafted)) <= ScreenedHead::kMostTokens;
  }
  int32_t random_token() {
    return std::uniform_int_distribution<int32_t>(0, model_->weights->config().vocab_size - 1)(random_);
  }

  const BenchOptions& options_;
  std::vector<Result> results_;  // (cases)
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Forward> forward_;
  std::vector<std::unique_ptr<BlockTable>> tables_;  // one per sequence of the batch
  std::unique_ptr<float[]> logits_;                  // (largest batch, vocab_size)
  Pieces weights_;
  std::mt19937 random_{1};
  uint64_t sink_ = 0;  // of the plain read, so that it is not optimised away
};

Status Bench::load(const Engine::Progress& progress) {
  if (Status status = check(options_); !status.ok()) return status;
  if (Status status = Model::load(options_.engine, progress, &model_); !status.ok()) return status;
  const ModelConfig& config = model_->weights->config();
  const size_t element_bytes = kv_element_bytes(model_->mode);
  const int chunk = options_.engine.prefill_chunk;
  int length = 0, largest = 0;
  int64_t kv_bytes = 0;
  for (const BenchCase& wanted : options_.cases) {
    const int needed = wanted.depth + wanted.tokens + wanted.drafted;
    length = std::max(length, needed);
    largest = std::max(largest, wanted.batch * (1 + wanted.drafted));
    // A sliding layer is given one step's worth of blocks beyond its window; generation here takes all of its steps at
    // once.
    const int64_t step = wanted.prefill ? chunk : std::max(chunk, wanted.tokens + wanted.drafted);
    kv_bytes = std::max(kv_bytes, KvCache::bytes_for(config, element_bytes, needed, step) * wanted.batch);
  }
  if (length > model_->max_context) {
    return Status::error(Code::invalid_argument, "depth and tokens need a context of " + std::to_string(length) +
                                                     ", the model has " + std::to_string(model_->max_context));
  }
  if (Status status = KvCache::create(config, element_bytes, kv_bytes, &cache_); !status.ok()) return status;
  if (Status status = Forward::create(*model_->weights, model_->head.get(), *model_->ops, model_->mode, model_->pool.get(),
                                      cache_.get(), size_t(std::max(chunk, largest)), &forward_);
      !status.ok()) {
    return status;
  }
  logits_.reset(new float[size_t(largest) * size_t(config.vocab_size)]);
  model_->weights->for_each_decode_buffer([&](const void* data, size_t bytes) { add_pieces(data, bytes, &weights_); });
  return {};
}

// Bytes per second of all threads reading `pieces`.
double Bench::read(const Pieces& pieces) {
  std::atomic<uint64_t> sum{0};
  std::atomic<size_t> bytes{0};
  const auto begin = Clock::now();
  model_->pool->parallel_for(pieces.size(), 1, [&](size_t first, size_t last, int) {
    for (size_t i = first; i < last; ++i) {
      const auto& [data, size] = pieces[i];
      uint64_t lanes[8] = {};
      size_t at = 0;
      for (; at + sizeof lanes <= size; at += sizeof lanes) {
        uint64_t words[8];
        std::memcpy(words, data + at, sizeof words);
        for (int lane = 0; lane < 8; ++lane) lanes[lane] += words[lane];
      }
      for (const uint64_t lane : lanes) sum.fetch_add(lane, std::memory_order_relaxed);
      bytes.fetch_add(size, std::memory_order_relaxed);
    }
  });
  const double seconds = seconds_since(begin);
  sink_ += sum;
  return double(bytes) / seconds;
}

// Where the system places pages decides about a third of the speed: the best of some buffers.
double Bench::best_read() {
  constexpr size_t kBytes = size_t(512) << 20;
  double best = 0;
  for (int buffer = 0; buffer < 3 && available_memory() > int64_t(2 * kBytes); ++buffer) {
    HugeMemory memory;
    if (!memory.allocate(kBytes).ok()) break;
    Pieces pieces;
    add_pieces(memory.data(), kBytes, &pieces);
    model_->pool->parallel_for(pieces.size(), 1, [&](size_t first, size_t last, int) {
      for (size_t i = first; i < last; ++i) std::memset(const_cast<uint8_t*>(pieces[i].first), 1, pieces[i].second);
    });
    for (int repetition = 0; repetition < 3; ++repetition) best = std::max(best, read(pieces));
  }
  return best;
}

// Sequences of `depth` positions. What stands in the cache does not change the work, so it is filled with noise instead
// of being computed; it has to be written, though: untouched memory would all be one page of zeros.
void Bench::fill_to_depth(const BenchCase& wanted) {
  tables_.clear();
  for (int i = 0; i < wanted.batch; ++i) tables_.push_back(std::make_unique<BlockTable>(cache_.get()));
  if (wanted.depth == 0) return;
  const size_t depth = size_t(wanted.depth), elements = cache_->block_bytes() / cache_->element_bytes();
  std::vector<uint8_t> noise(cache_->block_bytes());
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (size_t i = 0; i < elements; ++i) {
    const float value = uniform(random_);
    if (cache_->element_bytes() == sizeof value) {
      std::memcpy(&noise[i * sizeof value], &value, sizeof value);
    } else {
      model_->ops->f32_to_bf16(reinterpret_cast<uint16_t*>(noise.data()) + i, &value, 1);
    }
  }
  for (const auto& table : tables_) {
    if (!table->extend(depth, depth)) return;  // cannot be: load() sized the cache for it
    for (int layer = 0; layer < model_->weights->config().num_hidden_layers; ++layer) {
      for (const uint32_t block : table->layer(size_t(layer)).blocks)
        std::memcpy(cache_->keys(block, 0), noise.data(), noise.size());
    }
  }
}

// Reads a prompt for each sequence, in steps of prefill_chunk; only the last token of each gives logits.
Bench::Spent Bench::prefill(const BenchCase& wanted) {
  fill_to_depth(wanted);
  const BusyNeighbour neighbour(wanted.busy_neighbour);
  const size_t chunk = size_t(options_.engine.prefill_chunk), first = size_t(wanted.depth),
               last = first + size_t(wanted.tokens);
  std::vector<int32_t> tokens(last);
  for (int32_t& token : tokens) token = random_token();
  const uint64_t bytes = forward_->bytes_read();
  const auto begin = Clock::now();
  std::vector<Row> rows;
  for (const auto& table : tables_) {
    for (size_t at = first; at < last; at += chunk) {
      const size_t end = std::min(last, at + chunk);
      if (!table->extend(at, end)) return {1, 0};
      rows.clear();
      for (size_t i = at; i < end; ++i) rows.push_back({table.get(), tokens[i], i, i + 1 == last});
      forward_->run(rows, logits_.get());
    }
  }
  return {seconds_since(begin), double(forward_->bytes_read() - bytes)};
}

// One token of every sequence a step, greedy choice included; or with guesses that are all wrong.
Bench::Spent Bench::generate(const BenchCase& wanted) {
  fill_to_depth(wanted);
  const BusyNeighbour neighbour(wanted.busy_neighbour);
  const size_t vocab = size_t(model_->weights->config().vocab_size), first = size_t(wanted.depth);
  LogitNeed best;
  best.all = !screens(wanted);
  const uint64_t bytes = forward_->bytes_read();
  const auto begin = Clock::now();
  std::vector<Row> rows;
  for (size_t position = first; position < first + size_t(wanted.tokens); ++position) {
    rows.clear();
    for (const auto& table : tables_) {
      const size_t end = position + 1 + size_t(wanted.drafted);
      if (!table->extend(position, end)) return {1, 0};
      for (size_t i = position; i < end; ++i) rows.push_back({table.get(), random_token(), i, true, &best});
    }
    forward_->run(rows, logits_.get());
    for (size_t i = 0; i < rows.size(); ++i) sink_ += model_->ops->f32_argmax(&logits_[i * vocab], vocab);
  }
  return {seconds_since(begin), double(forward_->bytes_read() - bytes)};
}

void Bench::measure(size_t index) {
  const BenchCase& wanted = options_.cases[index];
  const double stream = read(weights_), tokens = double(wanted.tokens) * wanted.batch;
  const Spent spent = wanted.prefill ? prefill(wanted) : generate(wanted);
  Result& result = results_[index];
  result.streams.push_back(stream / 1e9);
  result.speeds.push_back(tokens / spent.seconds);
  result.bytes.push_back(spent.bytes / tokens);
  result.ratios.push_back(spent.bytes / spent.seconds / stream);
}

BenchRun Bench::summary(size_t index) const {
  const BenchCase& wanted = options_.cases[index];
  const Result& result = results_[index];
  BenchRun run;
  run.test = (wanted.prefill ? "pp" : "tg") + std::to_string(wanted.tokens);
  run.batch = wanted.batch;
  run.depth = wanted.depth;
  run.drafted = wanted.drafted;
  run.threads = model_->pool->size();
  run.mode = mode_name(model_->mode);
  run.head = !wanted.prefill && screens(wanted) ? "screened" : "exact";
  run.busy_neighbour = wanted.busy_neighbour;
  run.tokens_per_s = median(result.speeds);
  run.bytes_per_token = median(result.bytes);
  run.gb_per_s = run.bytes_per_token * run.tokens_per_s / 1e9;
  run.stream_gb_per_s = median(result.streams);
  run.ratio = median(result.ratios);
  run.samples = result.speeds;
  return run;
}

void Bench::describe(BenchReport* report) {
  report->info = model_->info();
  for (const BenchCase& wanted : options_.cases)
    report->info.max_sequences = std::max(report->info.max_sequences, wanted.batch);
  report->info.kv_bytes = cache_->bytes();
  report->info.kv_tokens = cache_->capacity_tokens(options_.engine.prefill_chunk);
  report->load_s = model_->load_seconds;
  report->weight_bytes = model_->weights->bytes();
  report->rss_bytes = peak_rss();  // before best_read() takes memory of its own
  report->best_gb_per_s = best_read() / 1e9;
  for (size_t i = 0; i < options_.cases.size(); ++i) report->runs.push_back(summary(i));
}

}  // namespace

Status bench(const BenchOptions& options, const Engine::Progress& progress, BenchReport* out) try {
  constexpr double kLoadShare = 0.1;
  const auto report = [&](double fraction) {
    if (progress) progress(fraction);
  };
  Bench bench(options);
  if (Status status = bench.load([&](double fraction) { report(fraction * kLoadShare); }); !status.ok()) return status;
  const double steps = double(options.cases.size()) * options.repetitions;
  double done = 0;
  for (int repetition = 0; repetition < options.repetitions; ++repetition) {
    for (size_t i = 0; i < options.cases.size(); ++i) {
      bench.measure(i);
      report(kLoadShare + (1 - kLoadShare) * (++done / steps));
    }
  }
  bench.describe(out);
  return {};
} catch (const std::bad_alloc&) {
  return Status::error(Code::out_of_memory, "not enough memory for the benchmark");
}

}  // namespace switchyard
