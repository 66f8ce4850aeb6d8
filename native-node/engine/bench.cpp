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

#include "engine.h"
#include "forward.h"
#include "memory.h"
#include "model.h"

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
  if (options.prompt < 0 || options.prompt > 1 << 20) return outside("prompt", "0 (none) to 1048576");
  if (options.gen < 0 || options.gen > 1 << 20) return outside("gen", "0 (none) to 1048576");
  if (options.prompt + options.gen == 0) return outside("prompt or gen", "above 0");
  if (options.depth < 0 || options.depth > 1 << 24) return outside("depth", "0 or more");
  if (options.repetitions < 1 || options.repetitions > 1000) return outside("repetitions", "1 to 1000");
  if (options.batch.empty() || *std::min_element(options.batch.begin(), options.batch.end()) < 1 ||
      *std::max_element(options.batch.begin(), options.batch.end()) > 4096) {
    return outside("batch", "numbers from 1 to 4096");
  }
  if (options.engine.prefill_chunk < 1 || options.engine.prefill_chunk > 65536)
    return outside("prefill_chunk", "1 to 65536");
  return {};
}

class Bench {
 public:
  explicit Bench(const BenchOptions& options) : options_(options) {}

  Status load(const Engine::Progress& progress);
  BenchRun measure(bool prefill, int batch, const std::function<void()>& step_done);
  void describe(BenchReport* report) const;

 private:
  struct Spent {
    double seconds, bytes;
  };
  double read_weights();
  void fill_to_depth(int batch);
  Spent prefill(int batch);
  Spent generate(int batch);
  int32_t random_token() {
    return std::uniform_int_distribution<int32_t>(0, model_->weights->config().vocab_size - 1)(random_);
  }

  const BenchOptions& options_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Forward> forward_;
  std::vector<std::unique_ptr<BlockTable>> tables_;  // one per sequence of the batch
  std::unique_ptr<float[]> logits_;                  // (largest batch, vocab_size)
  std::vector<std::pair<const uint8_t*, size_t>> weights_;
  std::mt19937 random_{1};
  uint64_t sink_ = 0;  // of the plain read, so that it is not optimised away
};

Status Bench::load(const Engine::Progress& progress) {
  if (Status status = check(options_); !status.ok()) return status;
  if (Status status = Model::load(options_.engine, progress, &model_); !status.ok()) return status;
  const ModelConfig& config = model_->weights->config();
  const int length = options_.depth + std::max(options_.prompt, options_.gen), chunk = options_.engine.prefill_chunk;
  if (length > model_->max_context) {
    return Status::error(Code::invalid_argument, "depth and prompt or gen need a context of " + std::to_string(length) +
                                                     ", the model has " + std::to_string(model_->max_context));
  }
  const int largest = *std::max_element(options_.batch.begin(), options_.batch.end());
  const size_t element_bytes = kv_element_bytes(model_->mode);
  // A sliding layer is given one step's worth of blocks beyond its window; generation here takes all of its steps at
  // once.
  const int64_t step = std::max(chunk, options_.gen);
  if (Status status = KvCache::create(config, element_bytes,
                                      KvCache::bytes_for(config, element_bytes, length, step) * largest, &cache_);
      !status.ok()) {
    return status;
  }
  if (Status status = Forward::create(*model_->weights, *model_->ops, model_->mode, model_->pool.get(), cache_.get(),
                                      size_t(std::max(chunk, largest)), size_t(length), &forward_);
      !status.ok()) {
    return status;
  }
  logits_.reset(new float[size_t(largest) * size_t(config.vocab_size)]);
  model_->weights->for_each_decode_buffer([&](const void* data, size_t bytes) {
    constexpr size_t kPiece = 1 << 20;
    for (size_t at = 0; at < bytes; at += kPiece)
      weights_.emplace_back(static_cast<const uint8_t*>(data) + at, std::min(kPiece, bytes - at));
  });
  return {};
}

// Bytes per second of all threads reading everything that decoding can touch.
double Bench::read_weights() {
  std::atomic<uint64_t> sum{0};
  std::atomic<size_t> bytes{0};
  const auto begin = Clock::now();
  model_->pool->parallel_for(weights_.size(), 1, [&](size_t first, size_t last, int) {
    for (size_t i = first; i < last; ++i) {
      const auto& [data, size] = weights_[i];
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

// Sequences of `depth` positions. What stands in the cache does not change the work, so it is filled with noise instead
// of being computed; it has to be written, though: untouched memory would all be one page of zeros.
void Bench::fill_to_depth(int batch) {
  tables_.clear();
  for (int i = 0; i < batch; ++i) tables_.push_back(std::make_unique<BlockTable>(cache_.get()));
  if (options_.depth == 0) return;
  const size_t depth = size_t(options_.depth), elements = cache_->block_bytes() / cache_->element_bytes();
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
Bench::Spent Bench::prefill(int batch) {
  fill_to_depth(batch);
  const size_t chunk = size_t(options_.engine.prefill_chunk), first = size_t(options_.depth),
               last = first + size_t(options_.prompt);
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

// One token of every sequence a step, greedy choice included.
Bench::Spent Bench::generate(int batch) {
  fill_to_depth(batch);
  const size_t vocab = size_t(model_->weights->config().vocab_size);
  const uint64_t bytes = forward_->bytes_read();
  const auto begin = Clock::now();
  std::vector<Row> rows;
  for (size_t position = size_t(options_.depth); position < size_t(options_.depth + options_.gen); ++position) {
    rows.clear();
    for (const auto& table : tables_) {
      if (!table->extend(position, position + 1)) return {1, 0};
      rows.push_back({table.get(), random_token(), position, true});
    }
    forward_->run(rows, logits_.get());
    for (int i = 0; i < batch; ++i) sink_ += model_->ops->f32_argmax(&logits_[size_t(i) * vocab], vocab);
  }
  return {seconds_since(begin), double(forward_->bytes_read() - bytes)};
}

BenchRun Bench::measure(bool is_prefill, int batch, const std::function<void()>& step_done) {
  const int tokens = is_prefill ? options_.prompt : options_.gen;
  std::vector<double> speeds, streams, bytes;
  for (int repetition = 0; repetition < options_.repetitions; ++repetition) {
    streams.push_back(read_weights() / 1e9);
    const Spent spent = is_prefill ? prefill(batch) : generate(batch);
    speeds.push_back(double(tokens) * batch / spent.seconds);
    bytes.push_back(spent.bytes / (double(tokens) * batch));
    step_done();
  }
  BenchRun run;
  run.test = (is_prefill ? "pp" : "tg") + std::to_string(tokens);
  run.batch = batch;
  run.depth = options_.depth;
  run.threads = model_->pool->size();
  run.mode = mode_name(model_->mode);
  run.tokens_per_s = median(speeds);
  run.bytes_per_token = median(bytes);
  run.gb_per_s = run.bytes_per_token * run.tokens_per_s / 1e9;
  run.stream_gb_per_s = median(streams);
  run.ratio = run.gb_per_s / run.stream_gb_per_s;
  return run;
}

void Bench::describe(BenchReport* report) const {
  report->info = model_->info();
  report->info.max_sequences = *std::max_element(options_.batch.begin(), options_.batch.end());
  report->info.kv_bytes = cache_->bytes();
  report->info.kv_tokens = cache_->capacity_tokens(options_.engine.prefill_chunk);
  report->load_s = model_->load_seconds;
  report->weight_bytes = model_->weights->bytes();
  report->rss_bytes = peak_rss();
}

}  // namespace

Status bench(const BenchOptions& options, const Engine::Progress& progress, BenchReport* out) try {
  constexpr double kLoadShare = 0.1;
  const auto report = [&](double fraction) {
    if (progress) progress(fraction);
  };
  Bench bench(options);
  if (Status status = bench.load([&](double fraction) { report(fraction * kLoadShare); }); !status.ok()) return status;
  const double steps = double(options.batch.size()) * options.repetitions * ((options.prompt > 0) + (options.gen > 0));
  double done = 0;
  const auto step_done = [&] { report(kLoadShare + (1 - kLoadShare) * (++done / steps)); };
  for (const int batch : options.batch) {
    if (options.prompt > 0) out->runs.push_back(bench.measure(true, batch, step_done));
    if (options.gen > 0) out->runs.push_back(bench.measure(false, batch, step_done));
  }
  bench.describe(out);
  return {};
} catch (const std::bad_alloc&) {
  return Status::error(Code::out_of_memory, "not enough memory for the benchmark");
}

}  // namespace switchyard
